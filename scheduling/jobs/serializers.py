"""Representations of jobs in the API; a list and a single job have common fields."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.filters import QuerySerializer
from scheduling.jobs.history import visible_event_data
from scheduling.jobs.models import STATE_CHOICES
from scheduling.jobs.waits.job_eta import StartTime
from scheduling.jobs.waits.reasons import Explanation, why_waiting
from scheduling.models import Job, JobEvent, ScheduleFire
from scheduling.schedules.queries import origin_of
from scheduling.tracing import trace_id_of
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
    tags = serializers.ListField(child=serializers.CharField())
    attempt = serializers.IntegerField(help_text="Failed attempts.")
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


class StoredJobSerializer(JobSummarySerializer):
    """A job as stored, without the explanation of its wait.

    The serializer's `context["reveals"]` decides whether payload and result are shown.
    """

    payload = serializers.SerializerMethodField(help_text="Null if it is masked.")
    result = serializers.SerializerMethodField(help_text="Null if it is masked, or without a result.")
    is_masked = serializers.SerializerMethodField(help_text="Whether the caller may not see the payload.")
    idempotency_key = serializers.CharField(allow_null=True)
    schedule = serializers.SerializerMethodField(help_text="The schedule that submitted it, if any.")
    trace_id = serializers.SerializerMethodField(help_text="The trace of its submission, if any.")

    def get_trace_id(self, job: Job) -> str | None:
        return trace_id_of(job.traceparent)

    @extend_schema_field(JobOriginSerializer(allow_null=True))
    def get_schedule(self, job: Job) -> Any:
        fire = None if self.context.get("is_submitted") else origin_of(job)
        return None if fire is None else JobOriginSerializer(fire).data

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_payload(self, job: Job) -> Any:
        return None if self.get_is_masked(job) else job.payload

    @extend_schema_field(serializers.JSONField(allow_null=True))
    def get_result(self, job: Job) -> Any:
        return None if self.context.get("reveals", "nothing") == "nothing" else job.result

    def get_is_masked(self, job: Job) -> bool:
        return bool(self.context.get("reveals", "nothing") != "everything")

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> Any:
        return ErrorSerializer(job).data if job.error_type else None


class JobSerializer(StoredJobSerializer):
    """A job with the explanation of its wait."""

    waiting = serializers.SerializerMethodField(help_text="Null for a job that does not wait.")

    @extend_schema_field(WaitingSerializer(allow_null=True))
    def get_waiting(self, job: Job) -> Any:
        waiting = why_waiting(job)
        return None if waiting is None else WaitingSerializer(waiting).data


class JobAnswerQuerySerializer(QuerySerializer):
    """Query parameters of actions whose response is a job."""

    include = serializers.ChoiceField(
        choices=["waiting"], default=None, help_text="`waiting` adds the explanation of the wait, as in `GET`."
    )


def show_job(job: Job, *, reveals: Reveals, is_submitted: bool = False, has_waiting: bool = True) -> dict[str, Any]:
    """Return the representation of a job, with payload and result as far as ``reveals`` allows.

    ``is_submitted``: this request submitted the job, so it has no schedule. ``has_waiting``: explain its wait, which
    takes 10 to 15 statements.
    """
    shown: dict[str, Any] = _kept_serializer(reveals, is_submitted, has_waiting).to_representation(job)
    return shown


@cache
def _kept_serializer(
    reveals: Reveals,
    is_submitted: bool,  # noqa: FBT001 - the keys of a cache
    has_waiting: bool,  # noqa: FBT001 - the keys of a cache
) -> StoredJobSerializer:
    """Return the serializer shared by all such answers: a new one copies its fields at each use."""
    serializer = JobSerializer if has_waiting else StoredJobSerializer
    return serializer(context={"reveals": reveals, "is_submitted": is_submitted})


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
