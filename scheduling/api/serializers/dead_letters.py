"""Dead letters as they are answered, alone and in groups, and the request to requeue one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.serializers.jobs import ErrorSerializer
from scheduling.models import DeadLetter
from scheduling.selectors.dead_letter_groups import DeadLetterGroup
from scheduling.selectors.dead_letters import Attempt, DeadLetterDetail
from scheduling.selectors.history import EXECUTION_STATES
from tenants.api.fields import NameField, StrictSerializer


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
