"""Trying routing rules, and moving the backlog by them."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.models import BacklogMove
from tenants.api.fields import NameField, StrictSerializer


class RouteQuestionSerializer(StrictSerializer):
    """A job that might be submitted."""

    kind = NameField(max_length=64)
    tier = NameField(max_length=50, help_text="Its slug.")
    payload = serializers.DictField(required=False, default=dict)
    queue = NameField(max_length=60, required=False, allow_null=True, default=None, help_text="That the tenant names.")


class RuleVerdictSerializer(serializers.Serializer[object]):
    """What a rule says of the job."""

    position = serializers.IntegerField(source="rule.position")
    rule = serializers.CharField(help_text="Kind → queue.")
    matches = serializers.BooleanField()
    because = serializers.CharField(help_text="Why it does not match; empty where it does.")


class RouteAnswerSerializer(serializers.Serializer[object]):
    """Where the job would go, and what each rule said that was asked."""

    queue = serializers.CharField(allow_null=True, help_text="Null where it would be refused.")
    refusal = serializers.CharField(help_text="The code of the refusal; empty without one.")
    detail = serializers.CharField()
    choices = serializers.ListField(
        child=serializers.CharField(), help_text="The queues it may go to, balanced or named."
    )
    rules = RuleVerdictSerializer(many=True)


class BacklogMoveSerializer(serializers.Serializer[BacklogMove]):
    """A move of what waits to the queues that routing names by now."""

    id = serializers.UUIDField()
    cause = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    is_open = serializers.BooleanField()
    phase = serializers.CharField(help_text="What is looked at: `ready`, `due`, `held` or `suspended` jobs.")
    passes = serializers.IntegerField(help_text="Times that all of them were looked at.")
    looked_at = serializers.IntegerField()
    moved = serializers.IntegerField()
    finished_at = serializers.DateTimeField(allow_null=True)
