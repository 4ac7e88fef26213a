"""Serializers of requests that create and cancel batches."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from rest_framework import serializers

from scheduling.conf import MAX_BULK_JOBS, MAX_TAGS, WEBHOOK_KIND
from scheduling.jobs.answers import JobSubmissionSerializer
from scheduling.jobs.batches.completion import CompletionJob, MemberCompensation
from scheduling.jobs.batches.models import MAX_BATCH_LABEL
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_TAG_CHARACTERS, JobRequest
from tenants.api.input import NameField, StrictSerializer, WholeNumberField

BATCH_EVENT = "batch.ended"


class CompletionJobSerializer(StrictSerializer):
    """The job that is submitted when a batch has ended."""

    kind = NameField(max_length=64)
    payload = serializers.DictField(default=dict, help_text="Must match the kind's schema, including the summary.")
    summary_as = NameField(
        default="", allow_blank=True, max_length=64, help_text="Payload key for the batch's summary."
    )
    queue = NameField(
        default=None, allow_null=True, max_length=60, help_text="Only if routing allows a choice of queue."
    )
    priority = WholeNumberField(default=None, allow_null=True)
    fair_key = NameField(default="", allow_blank=True, max_length=MAX_FAIR_KEY_CHARACTERS)
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), default=list, max_length=MAX_TAGS)
    max_retries = WholeNumberField(default=None, allow_null=True, min_value=0)


class CompletionSerializer(StrictSerializer):
    """The action at the end of a batch: a job, or the delivery of a webhook."""

    job = CompletionJobSerializer(required=False)
    webhook = serializers.UUIDField(
        required=False, help_text="Id of one of `webhooks/`, which is notified of the batch's end."
    )
    only_if_completed = serializers.BooleanField(default=False, help_text="Skip it if any job failed or was cancelled.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("job" in attrs) is ("webhook" in attrs):
            raise serializers.ValidationError({"job": [gettext("Name either a job or a webhook.")]})
        return attrs


class MemberCompensationSerializer(StrictSerializer):
    """The job that undoes each member that has started, if the batch fails or is cancelled."""

    kind = NameField(max_length=64)
    payload = serializers.DictField(default=dict, help_text="Must match the kind's schema, including the member.")
    member_as = NameField(
        default="", allow_blank=True, max_length=64, help_text="Payload key for the member: `{job, state, result}`."
    )
    max_retries = WholeNumberField(default=None, allow_null=True, min_value=0)


class BatchCreationSerializer(StrictSerializer):
    """A batch with its first jobs; all of them are accepted, or none."""

    label = NameField(max_length=MAX_BATCH_LABEL, help_text="Display name.")
    jobs = JobSubmissionSerializer(many=True, default=list, max_length=MAX_BULK_JOBS)
    closed = serializers.BooleanField(
        default=None, allow_null=True, help_text="Whether it accepts no more jobs; default: true if it has jobs."
    )
    on_completion = CompletionSerializer(default=None, allow_null=True)
    compensate = MemberCompensationSerializer(default=None, allow_null=True)

    def to_compensation(self) -> MemberCompensation | None:
        """Return the compensation of members that the validated body describes, or None."""
        asked = self.validated_data["compensate"]
        return None if asked is None else MemberCompensation(**asked)

    def to_requests(self) -> list[JobRequest]:
        """Return the validated jobs of the body as JobRequests."""
        jobs = self.validated_data["jobs"]
        return [JobRequest(**job | {"tags": tuple(dict.fromkeys(job["tags"]))}) for job in jobs]

    def to_completion(self) -> CompletionJob | None:
        """Return the completion job that the validated body describes, or None."""
        asked = self.validated_data["on_completion"]
        if asked is None:
            return None
        only = asked["only_if_completed"]
        if "job" in asked:
            return CompletionJob(**asked["job"], only_if_completed=only)
        payload = {"webhook": str(asked["webhook"]), "event": BATCH_EVENT}
        return CompletionJob(WEBHOOK_KIND, payload, summary_as="data", only_if_completed=only, is_internal=True)

    @property
    def closes(self) -> bool:
        """Return whether the batch is closed as soon as it is created."""
        closed = self.validated_data["closed"]
        return bool(self.validated_data["jobs"]) if closed is None else bool(closed)


class BatchCancellationSerializer(StrictSerializer):
    """The reason for cancelling a batch, optional."""

    reason = NameField(default="", allow_blank=True, max_length=200)
