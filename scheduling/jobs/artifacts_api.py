"""`jobs/{id}/artifacts/`: the files that a job has attached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.jobs.artifacts import ShownArtifact, artifacts_of, link_to_artifact
from scheduling.jobs.queries import get_job
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet

_JOB_ID, _ARTIFACT_ID = (OpenApiParameter(name, UUID, OpenApiParameter.PATH) for name in ("job_id", "artifact_id"))


class ArtifactSerializer(serializers.Serializer[ShownArtifact]):
    """A file that a job has attached."""

    id = serializers.UUIDField()
    name = serializers.CharField(help_text="Unique in the job.")
    content_type = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()


class ArtifactViewSet(TenantViewSet):
    """The files that jobs have attached; they are deleted with their jobs."""

    model = Job
    serializer_class = ArtifactSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.FILES_VIEW,
        "download": Permission.FILES_DOWNLOAD,
    }
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="jobs_artifacts_list", parameters=[_JOB_ID], responses=ArtifactSerializer(many=True))
    def list(self, request: Request, job_id: str) -> Response:
        """List a job's artifacts, in the order in which they were attached."""
        NoQuerySerializer.parse(request.query_params)
        shown = self.get_serializer(artifacts_of(get_job(UUID(job_id))), many=True).data
        return Response({"next": None, "previous": None, "results": shown})

    @extend_schema(
        operation_id="jobs_artifacts_download",
        parameters=[_JOB_ID, _ARTIFACT_ID],
        responses={302: OpenApiResponse(description="The file is at `Location`, for five minutes and without a key.")},
    )
    def download(self, request: Request, job_id: str, artifact_id: str) -> Response:
        """Download an artifact, by a redirect to its file. The audit log records who did."""
        NoQuerySerializer.parse(request.query_params)
        path = link_to_artifact(get_job(UUID(job_id)), UUID(artifact_id))
        headers = {"Location": request.build_absolute_uri(path), "Cache-Control": "private, no-store"}
        return Response(status=302, headers=headers)
