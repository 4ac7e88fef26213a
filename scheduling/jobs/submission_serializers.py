"""Requests for jobs, one or many."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from django.utils.translation import gettext
from rest_framework import serializers

from scheduling.conf import MAX_BULK_JOBS, MAX_TAGS
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_KEY_CHARACTERS, MAX_TAG_CHARACTERS, JobRequest
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.api.schema import LimitReachedSerializer
from tenants.exceptions import FieldInvalidError


class JobSubmissionSerializer(StrictSerializer):
    """One job as asked for."""

    kind = NameField(max_length=64)
    payload = serializers.DictField(default=dict, help_text="By the kind's own schema; at most 256 KiB as JSON.")
    priority = WholeNumberField(
        default=None,
        allow_null=True,
        help_text="Orders your own jobs; higher runs earlier. Without one the tenant's setting counts.",
    )
    run_at = MomentField(default=None, allow_null=True, help_text="Not started before this time.")
    deadline = MomentField(default=None, allow_null=True, help_text="Discarded if not done by this time.")
    fair_key = NameField(
        default="", allow_blank=True, max_length=MAX_FAIR_KEY_CHARACTERS, help_text="Whose job it is inside the tenant."
    )
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), default=list, max_length=MAX_TAGS)
    queue = NameField(default=None, allow_null=True, max_length=60, help_text="Only where routing lets you choose one.")
    max_retries = WholeNumberField(
        default=None, allow_null=True, min_value=0, help_text="At most what kind and plan allow."
    )


def read_request(body: Any, idempotency_key: str | None) -> JobRequest:
    """One job of a request's body. What it refuses is told by a serializer of its own, which knows how."""
    try:
        values = _kept_serializer().run_validation(body)
    except serializers.ValidationError:
        JobSubmissionSerializer(data=body).is_valid(raise_exception=True)
        raise
    return to_request(values, idempotency_key)


@cache
def _kept_serializer() -> JobSubmissionSerializer:
    """One for all requests: a new one copies its fields, which takes longer than to read a job."""
    return JobSubmissionSerializer()


def to_request(values: dict[str, Any], idempotency_key: str | None = None) -> JobRequest:
    """Values that `JobSubmissionSerializer` has validated, as the service takes them."""
    return JobRequest(**values | {"tags": tuple(dict.fromkeys(values["tags"]))}, idempotency_key=idempotency_key)


class AddedJobsSerializer(StrictSerializer):
    """Many jobs; each is checked for itself, so that one fault refuses one job."""

    jobs = JobSubmissionSerializer(many=True, help_text=f"At most {MAX_BULK_JOBS}.")


class BulkSubmissionSerializer(AddedJobsSerializer):
    """Many jobs, of an open batch if they are to be."""

    batch = serializers.UUIDField(required=False, help_text="An open batch that they join.")


class AcceptedJobSerializer(serializers.Serializer[Any]):
    """A job of a bulk submission that was accepted, by its place in the request."""

    index = serializers.IntegerField()
    id = serializers.UUIDField()


class RejectedJobSerializer(serializers.Serializer[Any]):
    """A job of a bulk submission that was refused, and why."""

    index = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    retry_after_seconds = serializers.IntegerField(allow_null=True, help_text="When it may be tried again.")
    limit = LimitReachedSerializer(allow_null=True, help_text="Where a limit was reached.")


class BulkSubmissionResultSerializer(serializers.Serializer[Any]):
    """What became of each job of a bulk submission."""

    accepted = AcceptedJobSerializer(many=True)
    rejected = RejectedJobSerializer(many=True)


def parse_bulk(body: Any, *, others: frozenset[str] = frozenset()) -> list[Any]:
    """The jobs of a bulk request, each as yet unchecked; ``others`` are fields that may stand beside them."""
    if not isinstance(body, Mapping) or set(body) - others != {"jobs"} or not isinstance(body["jobs"], list):
        raise FieldInvalidError('The body must be an object with the one field "jobs", a list.')
    jobs = body["jobs"]
    if not 1 <= len(jobs) <= MAX_BULK_JOBS:
        fault = {
            "field": "jobs",
            "code": "field_invalid",
            "detail": gettext("From 1 to %(limit)s jobs are taken at once.") % {"limit": MAX_BULK_JOBS},
        }
        raise FieldInvalidError(fault["detail"], errors=[fault])
    return jobs


def parse_batch(body: Mapping[str, Any]) -> UUID | None:
    """The batch that a bulk request names."""
    if "batch" not in body:
        return None
    try:
        return UUID(str(serializers.UUIDField().run_validation(body["batch"])))
    except serializers.ValidationError as error:
        fault = {"field": "batch", "code": "field_invalid", "detail": gettext("It must be the id of a batch.")}
        raise FieldInvalidError(fault["detail"], errors=[fault]) from error


def parse_idempotency_key(header: str | None) -> str | None:
    """The Idempotency-Key header: 1 to 200 printable ASCII characters."""
    if header is None:
        return None
    key = header.strip()
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        detail = gettext("It must have 1 to %(limit)s printable ASCII characters.") % {"limit": MAX_KEY_CHARACTERS}
        fault = {"field": "Idempotency-Key", "code": "field_invalid", "detail": detail}
        raise FieldInvalidError(f"Idempotency-Key: {detail}", errors=[fault])
    return key
