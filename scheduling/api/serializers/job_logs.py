"""Lines of jobs' logs, and which of them are asked for."""

from __future__ import annotations

from typing import Any, Self

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from scheduling.api.filters import QuerySerializer
from scheduling.models import JobLog
from scheduling.services.job_logs import LEVELS

MAX_LINES = 200
MAX_WAIT_SECONDS = 30


class QueryNumberField(serializers.IntegerField):
    """A whole number in a query parameter, in ASCII digits."""

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and data.isascii() and data.isdigit()):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class JobLogTextQuerySerializer(QuerySerializer):
    """Which lines are downloaded."""

    level = serializers.ChoiceField(choices=list(LEVELS), default="debug", help_text="This level and those above it.")

    @property
    def least_level(self) -> int:
        """The level as it is stored."""
        return LEVELS[self.validated_data["level"]]


class JobLogQuerySerializer(JobLogTextQuerySerializer):
    """Which lines are answered, and how long to wait for the first of them."""

    after = serializers.UUIDField(default=None, help_text="The id of a line: those that follow it.")
    limit = QueryNumberField(min_value=1, max_value=MAX_LINES, default=MAX_LINES, help_text="Lines at most.")
    wait = QueryNumberField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text="Seconds to wait where there is no line yet and the job has not ended.",
    )

    @classmethod
    def parse(cls, parameters: QueryDict) -> Self:
        # `limit` is this list's own, with no cursor beside it.
        query = cls(data=dict(parameters.lists()))
        query.is_valid(raise_exception=True)
        return query


class JobLogLineSerializer(serializers.Serializer[JobLog]):
    """One line that a job logged."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField(help_text="By the worker's clock.")
    level = serializers.CharField(source="get_level_display", help_text="`debug`, `info`, `warning` or `error`.")
    message = serializers.CharField()
    fields = serializers.DictField()
    execution = serializers.UUIDField(source="execution_id")
    attempt = serializers.IntegerField()


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class JobLogPageSerializer(serializers.Serializer[Any]):
    """Lines of a job, oldest first."""

    next = serializers.URLField(allow_null=True, help_text="Where the lines after these are; null: none yet.")
    results = JobLogLineSerializer(many=True)
    dropped = serializers.IntegerField(help_text="Lines that were not kept since the log is full.")
    job_state = serializers.CharField(help_text="The job's state before these lines were read.")
    is_final = serializers.BooleanField(help_text="The job has ended and no line follows these.")
