"""Requests of many jobs over the API, and the results of each of their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext
from rest_framework import serializers

from scheduling.conf import MAX_BULK_JOBS
from scheduling.jobs.answers import JobSubmissionSerializer
from tenants.api.input import StrictSerializer
from tenants.api.schema import LimitReachedSerializer
from tenants.exceptions import FieldInvalidError


class AddedJobsSerializer(StrictSerializer):
    """Many jobs; each is checked separately, so that one fault refuses one job."""

    jobs = JobSubmissionSerializer(many=True, help_text=f"At most {MAX_BULK_JOBS}.")


class BulkSubmissionSerializer(AddedJobsSerializer):
    """Many jobs, optionally for an open batch."""

    batch = serializers.UUIDField(required=False, help_text="The open batch to add them to.")


class AcceptedJobSerializer(serializers.Serializer[Any]):
    """An accepted job of a bulk submission, by its index in the request."""

    index = serializers.IntegerField()
    id = serializers.UUIDField()


class RejectedJobSerializer(serializers.Serializer[Any]):
    """A refused job of a bulk submission, with the reason."""

    index = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    retry_after_seconds = serializers.IntegerField(allow_null=True, help_text="Seconds until a retry is useful.")
    limit = LimitReachedSerializer(allow_null=True, help_text="The limit that was reached, if any.")


class BulkSubmissionResultSerializer(serializers.Serializer[Any]):
    """The results of the jobs of a bulk submission."""

    accepted = AcceptedJobSerializer(many=True)
    rejected = RejectedJobSerializer(many=True)


def parse_bulk(body: Any, *, others: frozenset[str] = frozenset()) -> list[Any]:
    """Return the unchecked jobs of a bulk request; ``others`` are fields allowed beside them.

    Raise FieldInvalidError.
    """
    if not isinstance(body, Mapping) or set(body) - others != {"jobs"} or not isinstance(body["jobs"], list):
        raise FieldInvalidError('The body must be an object with the one field "jobs", a list.')
    jobs = body["jobs"]
    if not 1 <= len(jobs) <= MAX_BULK_JOBS:
        fault = {
            "field": "jobs",
            "code": "field_invalid",
            "detail": gettext("A request must contain 1 to %(limit)s jobs.") % {"limit": MAX_BULK_JOBS},
        }
        raise FieldInvalidError(fault["detail"], errors=[fault])
    return jobs


def parse_batch(body: Mapping[str, Any]) -> UUID | None:
    """Return the batch of a bulk request, or None. Raise FieldInvalidError."""
    if "batch" not in body:
        return None
    try:
        return UUID(str(serializers.UUIDField().run_validation(body["batch"])))
    except serializers.ValidationError as error:
        fault = {"field": "batch", "code": "field_invalid", "detail": gettext("It must be the id of a batch.")}
        raise FieldInvalidError(fault["detail"], errors=[fault]) from error
