"""Serializers and API views of `files/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import StrictJSONParser, StrictSerializer, WholeNumberField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.requests.bodies import MAX_UPLOAD_BYTES
from workloads.files.links import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS, make_link
from workloads.files.models import UploadedFile
from workloads.files.queries import get_file
from workloads.files.service import delete_file, upload_files


class FileSerializer(serializers.Serializer[Any]):
    """An uploaded file."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    content_type = serializers.CharField(help_text="Derived from the name only.")
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()


class FileUploadSerializer(serializers.Serializer[Any]):
    """Request body of an upload: files as `multipart/form-data`."""

    files = serializers.ListField(child=serializers.FileField(), help_text="Of any type; at most 50 MiB each.")


class FileUploadAnswerSerializer(serializers.Serializer[Any]):
    """The stored files, in the order in which they were sent."""

    files = FileSerializer(many=True)


class LinkRequestSerializer(StrictSerializer):
    """Request body: for how many seconds a link is valid."""

    seconds = WholeNumberField(min_value=MIN_SECONDS, max_value=MAX_SECONDS, default=DEFAULT_SECONDS)


class LinkSerializer(serializers.Serializer[Any]):
    """A link to a file. Until it expires, the file can be downloaded with it without an API key."""

    url = serializers.URLField()
    expires_at = serializers.DateTimeField()


class FileViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Uploaded files of the tenant, which jobs and documents refer to by id."""

    model = UploadedFile
    serializer_class = FileSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.FILES_VIEW,
        "retrieve": Permission.FILES_VIEW,
        "create": Permission.FILES_MANAGE,
        "destroy": Permission.FILES_MANAGE,
        "link": Permission.FILES_DOWNLOAD,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    max_upload_bytes: ClassVar[Mapping[str, int]] = {"create": MAX_UPLOAD_BYTES}

    def get_parsers(self) -> list[BaseParser]:
        if self.action_map and self.action_map.get("post") == "create":
            return [MultiPartParser()]
        return [StrictJSONParser()]

    @extend_schema(operation_id="files_list")
    def list(self, request: Request) -> Response:
        """List files, newest first."""
        return super().list(request)

    @extend_schema(
        operation_id="files_upload",
        request={"multipart/form-data": FileUploadSerializer},
        responses={201: FileUploadAnswerSerializer},
    )
    def create(self, request: Request) -> Response:
        """Upload files. All are accepted or none; then each refused file has an error."""
        files = upload_files(tenant=self.tenant, files=request.FILES.getlist("files"))
        return Response(FileUploadAnswerSerializer({"files": files}).data, status=201)

    @extend_schema(operation_id="files_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return the facts of one file, without its bytes."""
        file = get_file(UUID(pk))
        return Response(FileSerializer(file).data, headers=etag_headers(file))

    @extend_schema(operation_id="files_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a file. Links to it stop working, and jobs that still need it fail."""
        delete_file(file=self.begin_edit(lambda: get_file(UUID(pk))))
        return Response(status=204)

    @extend_schema(operation_id="files_link", request=LinkRequestSerializer, responses=LinkSerializer)
    @action(detail=True, methods=["post"])
    def link(self, request: Request, pk: str) -> Response:
        """Create a link by which the file can be downloaded without an API key.

        The audit log records who created it.
        """
        body = LinkRequestSerializer.of(request.data)
        link = make_link(file=get_file(UUID(pk)), seconds=body.validated_data["seconds"])
        answer = {"url": request.build_absolute_uri(link.path), "expires_at": link.expires_at}
        return Response(LinkSerializer(answer).data)
