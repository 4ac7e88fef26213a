"""Trials of routing rules."""

from __future__ import annotations

from rest_framework import serializers

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
