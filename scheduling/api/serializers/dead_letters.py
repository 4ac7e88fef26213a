"""Dead letters as they are answered, alone and in groups, and requests to requeue them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.serializers.jobs import ErrorSerializer
from scheduling.filters import JobFilter
from scheduling.fingerprints import FINGERPRINT_CHARACTERS
from scheduling.models import DeadLetter
from scheduling.selectors.dead_letter_groups import DeadLetterGroup
from scheduling.selectors.dead_letters import Attempt, DeadLetterDetail
from scheduling.selectors.history import EXECUTION_STATES
from scheduling.services.dead_letters import MAX_REQUEUED, RequeueBatch, RequeueCursor, RequeuePreview
from tenants.api.fields import MomentField, NameField, StrictSerializer, WholeNumberField

_MAX_ALTERNATIVES = 50
_MAX_CURSOR_CHARACTERS = 100


class DeadLetterSerializer(serializers.Serializer[DeadLetter]):
    """A job that will not run again by itself, and why."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    job = serializers.UUIDField(source="job_id")
    kind = serializers.CharField()
    reason = serializers.ChoiceField(choices=DeadLetter.Reason.values)
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    requeued_at = serializers.DateTimeField(allow_null=True)
    requeued_job = serializers.UUIDField(source="requeued_job_id", allow_null=True)

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, letter: DeadLetter) -> Any:
        return ErrorSerializer(letter).data if letter.error_type else None


class AttemptErrorSerializer(serializers.Serializer[Attempt]):
    """What an attempt died of."""

    type = serializers.CharField(source="execution.error_type")
    message = serializers.CharField(source="execution.error_message")
    fingerprint = serializers.CharField()


class AttemptSerializer(serializers.Serializer[Attempt]):
    """One hand-out of the job; its traceback is at `executions/{id}/`."""

    execution = serializers.UUIDField(source="execution.id")
    number = serializers.IntegerField(source="execution.number")
    state = serializers.ChoiceField(choices=EXECUTION_STATES, source="execution.state", help_text="How it ended.")
    worker = serializers.UUIDField(source="execution.worker_id", allow_null=True)
    worker_name = serializers.CharField(source="worker", help_text="Empty where it is kept no longer.")
    dispatched_at = serializers.DateTimeField(source="execution.dispatched_at")
    started_at = serializers.DateTimeField(source="execution.started_at", allow_null=True)
    ended_at = serializers.DateTimeField(source="execution.ended_at", allow_null=True)
    error = serializers.SerializerMethodField()

    @extend_schema_field(AttemptErrorSerializer(allow_null=True))
    def get_error(self, attempt: Attempt) -> Any:
        return AttemptErrorSerializer(attempt).data if attempt.execution.error_type else None


class DeadLetterDetailSerializer(DeadLetterSerializer):
    """A dead letter with all that led to it; `context` has the `detail` and whether it `reveals` the payload."""

    attempt = serializers.SerializerMethodField(help_text="Starts that failed by themselves.")
    max_retries = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField(help_text="Null where it is masked.")
    is_masked = serializers.SerializerMethodField(help_text="Whether the caller may not see the payload.")
    attempts = serializers.SerializerMethodField(help_text="The newest 50, the last one first.")
    has_more_attempts = serializers.SerializerMethodField(help_text="All are at `jobs/{id}/executions/`.")

    @property
    def _detail(self) -> DeadLetterDetail:
        detail: DeadLetterDetail = self.context["detail"]
        return detail

    def get_attempt(self, letter: DeadLetter) -> int:
        return self._detail.job.attempt

    def get_max_retries(self, letter: DeadLetter) -> int:
        return self._detail.job.max_retries

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_payload(self, letter: DeadLetter) -> Any:
        return self._detail.job.payload if self.context["reveals"] else None

    def get_is_masked(self, letter: DeadLetter) -> bool:
        return not self.context["reveals"]

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, letter: DeadLetter) -> Any:
        return AttemptSerializer(self._detail.attempts, many=True).data

    def get_has_more_attempts(self, letter: DeadLetter) -> bool:
        return self._detail.has_more_attempts


class TenantShareSerializer(serializers.Serializer[Any]):
    """How many letters of a group are one tenant's."""

    tenant = serializers.CharField(source="slug")
    count = serializers.IntegerField(source="count.value")


class DeadLetterGroupSerializer(serializers.Serializer[DeadLetterGroup]):
    """Letters of one kind and one cause that wait; `context["names_tenants"]` says whether whose they are is told."""

    kind = serializers.CharField()
    fingerprint = serializers.CharField()
    type = serializers.CharField()
    message = serializers.CharField(help_text="Of the last one, its beginning.")
    pattern = serializers.CharField(help_text="The message, with `#` for what changes from one to the next.")
    count = serializers.IntegerField(source="count.value")
    count_is_more = serializers.BooleanField(source="count.is_capped", help_text="Whether there are more than that.")
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    last_dead_letter = serializers.UUIDField(source="last_id")
    last_job = serializers.UUIDField(source="job_id")
    tenants = serializers.SerializerMethodField(help_text="For people of the platform; else null.")

    @extend_schema_field(TenantShareSerializer(many=True, allow_null=True))
    def get_tenants(self, group: DeadLetterGroup) -> Any:
        return TenantShareSerializer(group.tenants, many=True).data if self.context["names_tenants"] else None


class DeadLetterGroupsSerializer(serializers.Serializer[Any]):
    """The groups of what waits, most letters first."""

    results = DeadLetterGroupSerializer(many=True, source="groups")
    is_capped = serializers.BooleanField(help_text="There are more groups than are looked at: the first 200.")


class RequeueSerializer(StrictSerializer):
    """How one dead letter is requeued."""

    payload = serializers.DictField(
        required=False, help_text="Instead of the old one; needs the right `jobs.reveal`. By the kind's own schema."
    )
    reason = NameField(max_length=500, required=False, allow_blank=True, default="", help_text="For the audit log.")


class LetterSelectionSerializer(StrictSerializer):
    """Which letters are meant: fields narrow each other, values in one are alternatives. Empty: all that wait."""

    kind = serializers.ListField(child=NameField(max_length=64), default=list, max_length=_MAX_ALTERNATIVES)
    reason = serializers.ListField(
        child=serializers.ChoiceField(choices=DeadLetter.Reason.values), default=list, max_length=_MAX_ALTERNATIVES
    )
    fingerprint = NameField(max_length=FINGERPRINT_CHARACTERS, default=None, allow_null=True)
    error = NameField(
        max_length=200, default=None, allow_null=True, help_text="A fingerprint, or a part of the error's type."
    )
    created_after = MomentField(default=None, allow_null=True, help_text="Inclusive.")
    created_before = MomentField(default=None, allow_null=True, help_text="Exclusive.")


class BulkRequeueSerializer(StrictSerializer):
    """Which letters are requeued, how many of them at once, and how."""

    filter = LetterSelectionSerializer()
    dry_run = serializers.BooleanField(default=False, help_text="Only say what would be done.")
    limit = WholeNumberField(
        min_value=1, max_value=MAX_REQUEUED, default=MAX_REQUEUED, help_text="Letters in this request."
    )
    cursor = NameField(
        max_length=_MAX_CURSOR_CHARACTERS, default=None, allow_null=True, help_text="From the answer before."
    )
    payload_patch = serializers.DictField(
        default=None,
        allow_null=True,
        help_text="Merged into each payload (RFC 7396: null removes a member); needs the right `jobs.reveal`.",
    )
    reason = NameField(max_length=500, required=False, allow_blank=True, default="", help_text="For the audit log.")

    def to_filter(self) -> JobFilter:
        """The letters as the service takes them."""
        given = self.validated_data["filter"]
        return JobFilter.of(
            kind=given["kind"],
            dead_letter=given["reason"],
            fingerprint=given["fingerprint"],
            error=given["error"],
            died_after=given["created_after"],
            died_before=given["created_before"],
        )

    def to_cursor(self) -> RequeueCursor | None:
        """Where this batch begins."""
        text = self.validated_data["cursor"]
        return None if text is None else RequeueCursor.parse(text)


class RefusalSerializer(serializers.Serializer[Any]):
    """Why something is not taken."""

    code = serializers.CharField()
    detail = serializers.CharField()


class SampledLetterSerializer(serializers.Serializer[Any]):
    """One of the letters that would come first, and whether its payload would be taken."""

    letter = DeadLetterSerializer()
    refusal = RefusalSerializer(allow_null=True)


class RequeuedLetterSerializer(serializers.Serializer[Any]):
    """A letter and the new job that does its work again."""

    dead_letter = serializers.UUIDField()
    job = serializers.UUIDField()


class RefusedLetterSerializer(serializers.Serializer[Any]):
    """A letter that was left as it is, and why."""

    dead_letter = serializers.UUIDField()
    code = serializers.CharField()
    detail = serializers.CharField()


class BulkRequeueResultSerializer(serializers.Serializer[Any]):
    """What was done, or with `dry_run` would be."""

    dry_run = serializers.BooleanField()
    count = serializers.IntegerField(help_text="Letters requeued; with `dry_run` those that match.")
    count_is_more = serializers.BooleanField(help_text="With `dry_run`: whether more match than are counted.")
    sample = SampledLetterSerializer(many=True, help_text="With `dry_run`: the first five.")
    requeued = RequeuedLetterSerializer(many=True)
    refused = RefusedLetterSerializer(many=True)
    cursor = serializers.CharField(allow_null=True, help_text="Send it again for the next batch; null: all are done.")
    retry_after_seconds = serializers.IntegerField(
        allow_null=True, help_text="When a limit ended this batch: how long to wait before the next."
    )


def describe_preview(preview: RequeuePreview) -> dict[str, Any]:
    """A dry run as it is answered."""
    return {
        "dry_run": True,
        "count": preview.count.value,
        "count_is_more": preview.count.is_capped,
        "sample": preview.sample,
        "requeued": [],
        "refused": [],
        "cursor": None,
        "retry_after_seconds": None,
    }


def describe_batch(batch: RequeueBatch) -> dict[str, Any]:
    """A batch as it is answered."""
    return {
        "dry_run": False,
        "count": len(batch.requeued),
        "count_is_more": False,
        "sample": [],
        "requeued": [{"dead_letter": letter_id, "job": job.pk} for letter_id, job in batch.requeued.items()],
        "refused": [
            {"dead_letter": letter_id, "code": refusal.code, "detail": refusal.detail}
            for letter_id, refusal in batch.refused.items()
        ],
        "cursor": None if batch.cursor is None else str(batch.cursor),
        "retry_after_seconds": batch.retry_after_seconds,
    }
