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
    """Many jobs to be submitted; each is checked separately, so that one fault rejects one job."""

    jobs = JobSubmissionSerializer(many=True, help_text=f"At most {MAX_BULK_JOBS}.")


class BulkSubmissionSerializer(AddedJobsSerializer):
    """Many jobs to be submitted, optionally to an open batch."""

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
    """The result of a bulk submission for each of its jobs."""

    accepted = AcceptedJobSerializer(many=True)
    rejected = RejectedJobSerializer(many=True)


def parse_bulk(body: Any, *, others: frozenset[str] = frozenset()) -> list[Any]:
    """Return the unvalidated jobs in the body of a bulk request.

    ``others`` names the fields that the body may have beside ``jobs``. Raise FieldInvalidError if the body has other
    fields, no list of jobs, or too many or no jobs.
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
    """Return the batch id in the body of a bulk request, or None; raise FieldInvalidError if it is not an id."""
    if "batch" not in body:
        return None
    try:
        return UUID(str(serializers.UUIDField().run_validation(body["batch"])))
    except serializers.ValidationError as error:
        fault = {"field": "batch", "code": "field_invalid", "detail": gettext("It must be the id of a batch.")}
        raise FieldInvalidError(fault["detail"], errors=[fault]) from error
