"""Submissions over the API: parsing of the requests, and the responses with their jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.conf import MAX_TAGS
from scheduling.exceptions import PayloadInvalidError
from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS, UniqueUntil
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_KEY_CHARACTERS, MAX_TAG_CHARACTERS, JobRequest
from scheduling.jobs.serializers import (
    ErrorSerializer,
    JobAnswerQuerySerializer,
    JobOriginSerializer,
    JobSummarySerializer,
    Reveals,
    WaitingSerializer,
)
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.limits.admission import RateStatus
from scheduling.models import Job
from scheduling.schedules.queries import origin_of
from scheduling.tracing import trace_id_of
from tenants.access.caller import Access, access_of
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.exceptions import FieldInvalidError

MINIMAL = "return=minimal"
IDEMPOTENCY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="A repeated key returns the first job (200); with a different request it is refused (422).",
)
_JOB_KEY: Mapping[str, Any] = {"default": "", "allow_blank": True, "max_length": MAX_JOB_KEY_CHARACTERS}
RATE_HEADERS = [
    OpenApiParameter(name, int, OpenApiParameter.HEADER, description=description, response=[200, 201])
    for name, description in (
        ("RateLimit-Limit", "Jobs that may be submitted in one burst."),
        ("RateLimit-Remaining", "Jobs that may be submitted now."),
        ("RateLimit-Reset", "Seconds until the bucket is full again."),
    )
]


class JobSubmissionSerializer(StrictSerializer):
    """One job to be submitted."""

    kind = NameField(max_length=64)
    payload = serializers.DictField(default=dict, help_text="Must match the kind's schema; at most 256 KiB as JSON.")
    priority = WholeNumberField(
        default=None,
        allow_null=True,
        help_text="Orders your own jobs; higher runs earlier. Default: the tenant's setting.",
    )
    run_at = MomentField(default=None, allow_null=True, help_text="Not started before this time.")
    deadline = MomentField(default=None, allow_null=True, help_text="Discarded if not completed by this time.")
    fair_key = NameField(
        default="",
        allow_blank=True,
        max_length=MAX_FAIR_KEY_CHARACTERS,
        help_text="Key within the tenant, such as a user id; slots are shared fairly between keys.",
    )
    concurrency_key = NameField(
        **_JOB_KEY,
        help_text="At most the kind's `concurrency_limit` of your jobs of the kind with this key run at once.",
    )
    unique_key = NameField(
        **_JOB_KEY, help_text="While a job of the kind has this key, it is returned (200) and no other is created."
    )
    unique_until = serializers.ChoiceField(
        ["", *UniqueUntil.values],
        default="",
        help_text="End of the uniqueness, by default `ended`. Without a `unique_key` that of the `concurrency_key`.",
    )
    tags = serializers.ListField(child=NameField(max_length=MAX_TAG_CHARACTERS), default=list, max_length=MAX_TAGS)
    meta = serializers.DictField(
        default=dict,
        help_text="Shown with the job and found by `meta.name:value`; at most 4 KiB as JSON. Not encrypted.",
    )
    queue = NameField(
        default=None, allow_null=True, max_length=60, help_text="Only if routing allows a choice of queue."
    )
    max_retries = WholeNumberField(
        default=None, allow_null=True, min_value=0, help_text="Limited by the kind and the plan."
    )


def read_request(body: Any, idempotency_key: str | None) -> JobRequest:
    """Return the job request that a request body describes; raise ValidationError if the body is invalid.

    A shared serializer validates it. Only for an invalid body is a new serializer created, which builds the errors.
    """
    try:
        values = _kept_submission_serializer().run_validation(body)
    except serializers.ValidationError:
        JobSubmissionSerializer(data=body).is_valid(raise_exception=True)
        raise
    return to_request(values, idempotency_key)


@cache
def _kept_submission_serializer() -> JobSubmissionSerializer:
    """Return one serializer for all requests: a new one copies its fields, which takes longer than parsing a job."""
    return JobSubmissionSerializer()


def to_request(values: dict[str, Any], idempotency_key: str | None = None) -> JobRequest:
    """Return the JobRequest for values that `JobSubmissionSerializer` has validated."""
    return JobRequest(**values | {"tags": tuple(dict.fromkeys(values["tags"]))}, idempotency_key=idempotency_key)


def parse_idempotency_key(header: str | None) -> str | None:
    """Return the key of an Idempotency-Key header, or None without the header.

    Raise FieldInvalidError unless the key has 1 to 200 printable ASCII characters.
    """
    if header is None:
        return None
    key = header.strip()
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        detail = gettext("It must have 1 to %(limit)s printable ASCII characters.") % {"limit": MAX_KEY_CHARACTERS}
        fault = {"field": "Idempotency-Key", "code": "field_invalid", "detail": detail}
        raise FieldInvalidError(f"Idempotency-Key: {detail}", errors=[fault])
    return key


def includes_waiting(request: Request) -> bool:
    """Return whether the query requests the explanation of the job's wait; raise an error for other query parameters.

    Call it before the action itself, so that a request with a bad query costs no tokens of the rate limit.
    """
    if not request.query_params:
        return False
    return bool(JobAnswerQuerySerializer.parse(request.query_params).validated_data["include"] == "waiting")


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


def job_response(
    request: Request,
    job: Job,
    *,
    has_waiting: bool,
    status: int = 200,
    headers: dict[str, str] | None = None,
    is_submitted: bool = False,
) -> Response:
    """Return the response to an action on a job: the job, with the values that the caller may see.

    Platform staff never see its payload and result in such a response.
    """
    access = access_of(request)
    reveals = "nothing" if access.platform_role is not None else visible_values(access)
    shown = show_job(job, reveals=reveals, is_submitted=is_submitted, has_waiting=has_waiting)
    return Response(shown, status=status, headers=headers)


def visible_values(access: Access) -> Reveals:
    """Return which values of a job the caller's rights reveal: nothing, its result, or everything."""
    if access.may(Permission.JOBS_REVEAL):
        return "everything"
    return "result" if access.may(Permission.JOBS_RESULTS) else "nothing"


@contextmanager
def mask_validation_errors(access: Access) -> Iterator[None]:
    """Replace a PayloadInvalidError of the block by one without details, which quote the payload.

    A caller who may see payloads gets the original error.
    """
    try:
        yield
    except PayloadInvalidError as refusal:
        if access.may(Permission.JOBS_REVEAL):
            raise
        raise PayloadInvalidError from refusal


def new_job_response(request: Request, job: Job, *, has_waiting: bool, is_submitted: bool = False) -> Response:
    """Return the response 201 with a new job and its URL."""
    headers = {"Location": reverse("job-detail", args=[job.id], request=request)}
    return job_response(request, job, has_waiting=has_waiting, status=201, headers=headers, is_submitted=is_submitted)


def submission_response(request: Request, job: Job, *, created: bool, has_waiting: bool) -> Response:
    """Return the response to a submission: 201 for a new job, 200 for one that a repeated key found.

    It contains the job, or only its id if the request has the header `Prefer: return=minimal` (RFC 7240).
    """
    if _prefers_minimal(request):
        # Below the requested address; a reverse lookup takes as long as parsing the request.
        location = f"{request.scheme}://{request.get_host()}{request.path}{job.id}/"
        headers = {"Location": location, "Preference-Applied": MINIMAL}
        return Response({"id": job.id}, status=201 if created else 200, headers=headers)
    if created:
        return new_job_response(request, job, has_waiting=has_waiting, is_submitted=True)
    return job_response(request, job, has_waiting=has_waiting)


def _prefers_minimal(request: Request) -> bool:
    asked = request.headers.get("Prefer", "").replace(";", ",").split(",")
    return MINIMAL in (preference.strip().lower() for preference in asked)


def add_job_count(answer: Response, count: int) -> Response:
    """Store the number of new jobs on the response, for the middleware of the request rate, and return the response.

    After a submission that created no job, the caller's next submission costs request units.
    """
    answer.new_jobs = count
    return answer


def add_rate_headers(answer: Response, rate: RateStatus | None) -> Response:
    """Add the headers of the tenant's rate limit to the response to a submission, and return the response."""
    for name, value in (rate.headers() if rate else {}).items():
        answer[name] = value
    return answer
