"""`jobs/bulk/`: many jobs in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from scheduling.jobs.answers import RATE_HEADERS, JobSubmissionSerializer, add_job_count, add_rate_headers, to_request
from scheduling.jobs.batches.service import add_jobs
from scheduling.jobs.bulk_requests import (
    BulkSubmissionResultSerializer,
    BulkSubmissionSerializer,
    RejectedJobSerializer,
    parse_batch,
    parse_bulk,
)
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import BulkSubmission, submit_jobs
from scheduling.limits.admission import check_bulk_size
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.exceptions import DomainError
from tenants.limits.declared import NOTHING
from tenants.requests.bodies import MAX_TEXT_BYTES


class BulkSubmissionViewSet(TenantViewSet):
    """Submission of many jobs at once."""

    model = Job
    serializer_class = BulkSubmissionSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"create": Permission.JOBS_SUBMIT}
    request_costs: ClassVar[Mapping[str, int]] = {"create": NOTHING}
    filter_backends: ClassVar[list[Any]] = []
    max_body_bytes = MAX_TEXT_BYTES  # a thousand jobs of eight KiB

    @extend_schema(
        operation_id="jobs_submit_bulk",
        parameters=RATE_HEADERS,
        responses={
            201: OpenApiResponse(
                BulkSubmissionResultSerializer, description="The accepted jobs, stored in one transaction."
            )
        },
    )
    def create(self, request: Request) -> Response:
        """Submit up to 1,000 jobs; each is accepted or rejected separately."""
        jobs = parse_bulk(request.data, others=frozenset({"batch"}))
        batch_id = parse_batch(request.data)
        check_bulk_size(tenant_id=self.tenant.pk, jobs=len(jobs))
        requests, refused = read_requests(jobs)
        wanted = list(requests.values())
        if batch_id is None:
            bulk = submit_jobs(tenant=self.tenant, requests=wanted, is_rate_limited=True)
        else:
            bulk = add_jobs(tenant=self.tenant, batch_id=batch_id, requests=wanted, is_rate_limited=True)
        answer = bulk_response(bulk, list(requests), refused)
        return add_job_count(answer, sum(done.created for _, done in bulk.accepted))


def bulk_response(bulk: BulkSubmission, indices: Sequence[int], refused: Sequence[tuple[int, DomainError]]) -> Response:
    """Return the response with the result of each job by its index in the request body.

    ``indices`` has the index in the body of each job that was passed to the service; ``refused`` are the malformed
    jobs.
    """
    rejected = [*refused, *((indices[place], error) for place, error in bulk.rejected)]
    answer = {
        "accepted": [{"index": indices[place], "id": str(done.job.id)} for place, done in bulk.accepted],
        "rejected": RejectedJobSerializer(
            [
                {
                    "index": index,
                    "code": error.code,
                    "detail": error.detail,
                    "retry_after_seconds": error.retry_after_seconds,
                    "limit": error.limit.describe() if error.limit else None,
                }
                for index, error in sorted(rejected, key=lambda entry: entry[0])
            ],
            many=True,
        ).data,
    }
    return add_rate_headers(Response(answer, status=201), bulk.rate)


def read_requests(jobs: list[Any]) -> tuple[dict[int, JobRequest], list[tuple[int, DomainError]]]:
    """Return the requests of the well-formed jobs by index, and the malformed jobs' indices with their errors."""
    requests: dict[int, JobRequest] = {}
    refused: list[tuple[int, DomainError]] = []
    # One for all: creating a serializer copies its fields, which takes longer than everything else done for a job.
    body = JobSubmissionSerializer()
    for index, job in enumerate(jobs):
        try:
            requests[index] = to_request(body.run_validation(job))
        except ValidationError as error:
            refused.append((index, DomainError(describe_faults(error))))
    return requests, refused


def describe_faults(error: ValidationError) -> str:
    """Return the first three faults of one job as text."""
    # REST framework reports a null job as a whole, without naming a field.
    detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
    faults = [f"{field}: {_first(messages)}" for field, messages in detail.items()]
    return "; ".join(faults[:3])


def _first(messages: Any) -> str:
    """Return the first message of REST framework's nested details."""
    while isinstance(messages, (list, dict)):
        messages = next(iter(messages.values() if isinstance(messages, dict) else messages))
    return str(messages)
