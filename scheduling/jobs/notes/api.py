"""`jobs/{id}/notes/`: the notes that people have left on a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer, page_response
from scheduling.jobs.notes.service import add_note, notes_of
from scheduling.jobs.queries import get_job
from scheduling.models import JobNote
from tenants.access.permissions import Permission
from tenants.api.input import StrictSerializer, TextField
from tenants.api.pagination import OldestFirstPagination
from tenants.api.viewsets import TenantViewSet

_JOB_ID = OpenApiParameter("job_id", UUID, OpenApiParameter.PATH)


class JobNoteSerializer(serializers.Serializer[JobNote]):
    """A note on a job."""

    id = serializers.UUIDField()
    author = serializers.CharField(help_text="As the audit log names callers, such as `user:ann`.")
    text = serializers.CharField()
    created_at = serializers.DateTimeField()


class NewNoteSerializer(StrictSerializer):
    """A note to be added."""

    text = TextField(help_text="At most 4 KiB.")


class JobNoteViewSet(TenantViewSet):
    """The notes on jobs; they are deleted with their jobs."""

    model = JobNote
    serializer_class = JobNoteSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.JOBS_VIEW, "create": Permission.JOBS_SUBMIT}
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = OldestFirstPagination

    @extend_schema(
        operation_id="jobs_notes_list",
        parameters=[_JOB_ID, *PAGING_PARAMETERS],
        responses=JobNoteSerializer(many=True),
    )
    def list(self, request: Request, job_id: str) -> Response:
        """List the notes on a job, oldest first."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, notes_of(get_job(UUID(job_id))), JobNoteSerializer)

    @extend_schema(
        operation_id="jobs_notes_create",
        parameters=[_JOB_ID],
        request=NewNoteSerializer,
        responses={201: JobNoteSerializer},
    )
    def create(self, request: Request, job_id: str) -> Response:
        """Add a note on a job."""
        text = NewNoteSerializer.of(request.data).validated_data["text"]
        return Response(JobNoteSerializer(add_note(job_id=UUID(job_id), text=text)).data, status=201)
