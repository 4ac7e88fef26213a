"""Representations of jobs in the API; a list and a single job have common fields."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.filters import QuerySerializer
from scheduling.fairness.shares import Move
from scheduling.jobs.history import visible_event_data
from scheduling.jobs.models import STATE_CHOICES
from scheduling.jobs.waits.job_eta import StartTime
from scheduling.jobs.waits.reasons import Explanation
from scheduling.models import Job, JobEvent, ScheduleFire
from tenants.api.input import MomentField, NameField, StrictSerializer

# What an answer contains of a job beside its state: nothing, its result, or also its payload.
type Reveals = Literal["nothing", "result", "everything"]


class ProgressSerializer(serializers.Serializer[Job]):
    """The progress of a job, in any unit that its processor chose; with `total` 0 none was reported."""

    current = serializers.IntegerField(source="progress_current")
    total = serializers.IntegerField(source="progress_total")
    message = serializers.CharField(source="progress_message")


class ErrorSummarySerializer(serializers.Serializer[Any]):
    """The job's last error without its message; errors of one cause have the same fingerprint."""

    type = serializers.CharField(source="error_type")
    fingerprint = serializers.CharField(source="error_fingerprint")


class ErrorSerializer(serializers.Serializer[Any]):
    """The last error of the job."""

    type = serializers.CharField(source="error_type")
    message = serializers.CharField(source="error_message")
    fingerprint = serializers.CharField(source="error_fingerprint")


class WaitingReasonSerializer(serializers.Serializer[Any]):
    """One reason that keeps a job from starting."""

    code = serializers.CharField()
    detail = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True, help_text="When the reason ends by itself, if known.")


class EtaBandSerializer(serializers.Serializer[StartTime]):
    """The span of time within which four of five jobs start."""

    low_seconds = serializers.FloatField()
    high_seconds = serializers.FloatField()


class MoveSerializer(serializers.Serializer[Move]):
    """By how much rules place a job earlier in its tenant's line while the load lasts; negative: later."""

    seconds = serializers.IntegerField()
    rules = serializers.ListField(child=serializers.CharField())


class WaitingSerializer(serializers.Serializer[Explanation]):
    """The reasons why a job waits; its position and its ETA are null if unknown."""

    reasons = WaitingReasonSerializer(many=True)
    position = serializers.IntegerField(allow_null=True, help_text="Among the tenant's own ready jobs, from 1.")
    position_is_more = serializers.BooleanField(
        source="ahead.is_more", default=False, help_text="Whether the position is only a lower bound."
    )
    work_ahead_seconds = serializers.SerializerMethodField(
        help_text="Predicted slot time of the tenant's own jobs before it."
    )
    eta_seconds = serializers.FloatField(
        source="start.eta_seconds",
        allow_null=True,
        default=None,
        help_text="Seconds until it starts if no more jobs arrive.",
    )
    eta_band = EtaBandSerializer(source="start", allow_null=True)
    no_eta_because = serializers.CharField(
        source="no_start_because", help_text="Why there is no ETA; empty if there is one."
    )

    moved = MoveSerializer(
        allow_null=True, help_text="What moves it under load; position and ETA are those without the move."
    )

    def get_work_ahead_seconds(self, waiting: Explanation) -> float | None:
        return None if waiting.ahead is None else waiting.ahead.work_us / 1_000_000


class JobSummarySerializer(serializers.Serializer[Job]):
    """A job in a list: everything but payload, result and the error's text."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    queue = serializers.CharField(source="queue.name")
    priority = serializers.IntegerField()
    fair_key = serializers.CharField()
    concurrency_key = serializers.CharField(allow_null=True)
    unique_key = serializers.CharField(allow_null=True)
    unique_until = serializers.CharField(allow_null=True, help_text="`started` or `ended`; null without a unique key.")
    tags = serializers.ListField(child=serializers.CharField())
    meta = serializers.DictField()
    attempt = serializers.IntegerField(source="started_attempts", help_text="Attempts that have started.")
    max_retries = serializers.IntegerField()
    yields = serializers.IntegerField(
        source="yield_count", help_text="Number of time slices after which it yielded its slot; these are not attempts."
    )
    progress = ProgressSerializer(source="*")
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    run_at = serializers.DateTimeField()
    deadline = serializers.DateTimeField(source="deadline_at", allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    parent = serializers.UUIDField(source="parent_id", allow_null=True)
    batch = serializers.UUIDField(source="batch_id", allow_null=True)

    @extend_schema_field(ErrorSummarySerializer(allow_null=True))
    def get_error(self, job: Job) -> Any:
        return ErrorSummarySerializer(job).data if job.error_type else None


class JobOriginSerializer(serializers.Serializer[ScheduleFire]):
    """The schedule that submitted a job."""

    id = serializers.UUIDField(source="schedule_id")
    name = serializers.CharField(source="schedule.name")
    fire_time = MomentField()


class JobAnswerQuerySerializer(QuerySerializer):
    """Query parameters of actions whose response is a job."""

    include = serializers.ChoiceField(
        choices=["waiting"], default=None, help_text="`waiting` adds the explanation of the wait, as in `GET`."
    )


class JobEventSerializer(serializers.Serializer[JobEvent]):
    """One change of one job."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    actor = serializers.CharField()
    request_id = serializers.CharField()
    execution = serializers.UUIDField(source="execution_id", allow_null=True)
    data = serializers.SerializerMethodField()

    def get_data(self, event: JobEvent) -> dict[str, Any]:
        return visible_event_data(event)


class CancellationSerializer(StrictSerializer):
    """The reason for cancelling a job, optional."""

    reason = NameField(default="", allow_blank=True, max_length=200)
