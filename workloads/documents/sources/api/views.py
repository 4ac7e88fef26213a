"""API views of `document-sources/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from workloads.documents.queries import get_dataset
from workloads.documents.sources.api.serializers import (
    DocumentSourceSerializer,
    NewSourceSerializer,
    SourceChangesSerializer,
    SourceItemSerializer,
)
from workloads.documents.sources.models import ContentSource
from workloads.documents.sources.queries import find_items, find_sources, get_source
from workloads.documents.sources.service import create_source, delete_source, start_sync, update_source


class DocumentSourceViewSet(EditedRows, TenantViewSet):
    """Sources of documents: buckets and web sites that a job keeps in sync with a dataset."""

    model = ContentSource
    serializer_class = DocumentSourceSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "retrieve": Permission.DATASETS_VIEW,
        "items": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
        "partial_update": Permission.DATASETS_MANAGE,
        "destroy": Permission.DATASETS_MANAGE,
        "sync": Permission.DATASETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="document_sources_list", responses=DocumentSourceSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the sources of documents, newest first."""
        page = self.paginate_queryset(self.filter_queryset(find_sources()))
        return self.get_paginated_response(DocumentSourceSerializer(page, many=True).data)

    @extend_schema(
        operation_id="document_sources_create",
        request=NewSourceSerializer,
        responses={201: DocumentSourceSerializer},
    )
    def create(self, request: Request) -> Response:
        """Create a source of documents. Answer 422 `source_invalid` if its configuration does not fit the connector."""
        asked = NewSourceSerializer.of(request.data).validated_data
        asked["dataset"] = get_dataset(asked["dataset"])
        return _answer(create_source(tenant=self.tenant, **asked), status=201)

    @extend_schema(operation_id="document_sources_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one source of documents with the result of its last sync."""
        return _answer(get_source(UUID(pk)))

    @extend_schema(
        operation_id="document_sources_update", request=SourceChangesSerializer, responses=DocumentSourceSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a source of documents; the next sync applies it."""
        source = self.begin_edit(lambda: get_source(UUID(pk)))
        changes = SourceChangesSerializer.of(request.data).validated_data
        return _answer(update_source(source_id=source.pk, changes=changes))

    @extend_schema(operation_id="document_sources_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a source with its items. Its documents stay."""
        delete_source(source_id=self.begin_edit(lambda: get_source(UUID(pk))).pk)
        return Response(status=204)

    @extend_schema(operation_id="document_sources_sync", request=None, responses={202: DocumentSourceSerializer})
    @action(detail=True, methods=["post"])
    def sync(self, request: Request, pk: str) -> Response:
        """Start a sync. Answer 409 `sync_running` if one waits or runs, 409 `source_disabled` if it is disabled."""
        StrictSerializer.of(request.data)
        return _answer(start_sync(source_id=UUID(pk), is_rate_limited=True), status=202)

    @extend_schema(operation_id="document_sources_items", responses=SourceItemSerializer(many=True))
    @action(detail=True)
    def items(self, request: Request, pk: str) -> Response:
        """List the items of a source, newest first, those that are gone too."""
        page = self.paginate_queryset(self.filter_queryset(find_items(get_source(UUID(pk)))))
        return self.get_paginated_response(SourceItemSerializer(page, many=True).data)


def _answer(source: ContentSource, *, status: int = 200) -> Response:
    shown = get_source(source.pk)
    return Response(DocumentSourceSerializer(shown).data, status=status, headers=etag_headers(shown))
