"""API views of `chunks/`, of the lists of chunks, and of the text of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PAGING, OldestFirstPagination
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import HEAVY
from workloads.documents.chunks import service
from workloads.documents.chunks.api.serializers import (
    ChunkChangesSerializer,
    ChunkQuerySerializer,
    ChunkReasonSerializer,
    ChunkSerializer,
    ChunkVersionsSerializer,
    DatasetChunkQuerySerializer,
    FullChunkSerializer,
    NewChunkSerializer,
    RestoreSerializer,
    SplitChunkSerializer,
    SplitSerializer,
)
from workloads.documents.chunks.queries import find_chunks, find_versions, get_chunk, narrow_chunks, stream_text
from workloads.documents.indexing.queries import get_document
from workloads.documents.models import Chunk
from workloads.documents.queries import get_dataset


class OrderPagination(OldestFirstPagination):
    """Cursor pagination in the order of a document."""

    ordering = "order"


class ChunkListViewSet(TenantViewSet):
    """Base view of lists of chunks."""

    model = Chunk
    serializer_class = ChunkSerializer
    pagination_class = OldestFirstPagination
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.DATASETS_VIEW}
    query_class: ClassVar[type[ChunkQuerySerializer]] = ChunkQuerySerializer

    def read_query(self) -> dict[str, Any]:
        """Return the filters of the request; raise an error for an unknown one."""
        asked = {name: value for name, value in self.request.query_params.items() if name not in PAGING}
        return dict(self.query_class.of(asked).validated_data)

    def answer_page(self, **where: Any) -> Response:
        """Return the page of the chunks that match the columns and the filters of the request."""
        page = self.paginate_queryset(narrow_chunks(find_chunks().filter(**where), **self.read_query()))
        return self.get_paginated_response(ChunkSerializer(page, many=True).data)


class DatasetChunksViewSet(ChunkListViewSet):
    """The chunks of one dataset."""

    query_class = DatasetChunkQuerySerializer

    def read_query(self) -> dict[str, Any]:
        return {name: value for name, value in super().read_query().items() if name != "document"}

    @extend_schema(
        operation_id="datasets_chunks_list",
        parameters=[DatasetChunkQuerySerializer],
        responses=ChunkSerializer(many=True),
    )
    def list(self, request: Request, dataset_id: str) -> Response:
        """List the chunks of a dataset in the order in which they were stored."""
        asked = super().read_query()
        where = {"document_id": asked["document"]} if "document" in asked else {}
        return self.answer_page(dataset_id=get_dataset(UUID(dataset_id)).pk, **where)


class DocumentChunksViewSet(ChunkListViewSet):
    """The chunks of one document."""

    pagination_class = OrderPagination

    @extend_schema(
        operation_id="documents_chunks_list", parameters=[ChunkQuerySerializer], responses=ChunkSerializer(many=True)
    )
    def list(self, request: Request, document_id: str) -> Response:
        """List the chunks of a document in its order."""
        return self.answer_page(document_id=get_document(UUID(document_id)).pk)


class DocumentTextViewSet(Unpaged, TenantViewSet):
    """The text of one document."""

    model = Chunk
    permissions: ClassVar[Mapping[str, Permission]] = {"download": Permission.DATASETS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"download": HEAVY}

    @extend_schema(
        operation_id="documents_text",
        parameters=[OpenApiParameter("document_id", UUID, OpenApiParameter.PATH)],
        responses={(200, "text/plain"): OpenApiResponse(str, description="The texts of its chunks, in its order.")},
    )
    def download(self, request: Request, document_id: str) -> HttpResponseBase:
        """Download the text of a document as its chunks have it now, with changes by hand."""
        document = get_document(UUID(document_id))
        before_page = partial(require_still_authorized, self.django_request, Permission.DATASETS_VIEW)
        return text_response(document, before_page)


class ChunkViewSet(Unpaged, EditedRows, TenantViewSet):
    """One chunk, and its changes. Each needs a completed document, and obeys `If-Match`."""

    model = Chunk
    serializer_class = FullChunkSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.DATASETS_VIEW,
        "versions": Permission.DATASETS_VIEW,
        "partial_update": Permission.DATASETS_MANAGE,
        "add_after": Permission.DATASETS_MANAGE,
        "split": Permission.DATASETS_MANAGE,
        "merge": Permission.DATASETS_MANAGE,
        "embed": Permission.DATASETS_MANAGE,
        "restore": Permission.DATASETS_MANAGE,
    }

    @extend_schema(operation_id="chunks_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one chunk, with the text that indexing gave it."""
        return _answer(get_chunk(UUID(pk)))

    @extend_schema(operation_id="chunks_update", request=ChunkChangesSerializer, responses=FullChunkSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the text of a chunk, or switch it off or on. The new text is found by its words at once."""
        return self._act(service.update_chunk, pk, **ChunkChangesSerializer.of(request.data).validated_data)

    @extend_schema(operation_id="chunks_add_after", request=NewChunkSerializer, responses={201: FullChunkSerializer})
    @action(detail=True, methods=["post"], url_path="add-after", url_name="add-after")
    def add_after(self, request: Request, pk: str) -> Response:
        """Add a chunk behind this one. It is found by its words at once, by vector when its job is done."""
        body = NewChunkSerializer.of(request.data).validated_data
        before = self.begin_edit(lambda: get_chunk(UUID(pk)))
        return _answer(get_chunk(service.add_chunk(after_id=before.pk, **body).pk), status=201)

    @extend_schema(operation_id="chunks_split", request=SplitSerializer, responses=SplitChunkSerializer)
    @action(detail=True, methods=["post"])
    def split(self, request: Request, pk: str) -> Response:
        """Split a chunk. The second part is a new chunk; send `If-Match`, since the offset belongs to one text."""
        body = SplitSerializer.of(request.data).validated_data
        chunk = self.begin_edit(lambda: get_chunk(UUID(pk)))
        parts = service.split_chunk(chunk_id=chunk.pk, **body)
        return Response(SplitChunkSerializer({"chunks": [get_chunk(part.pk) for part in parts]}).data)

    @extend_schema(operation_id="chunks_merge", request=ChunkReasonSerializer, responses=FullChunkSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """Append the next chunk to this one, and delete the next one."""
        return self._act(service.merge_chunk, pk, **ChunkReasonSerializer.of(request.data).validated_data)

    @extend_schema(operation_id="chunks_embed", request=ChunkReasonSerializer, responses=FullChunkSerializer)
    @action(detail=True, methods=["post"])
    def embed(self, request: Request, pk: str) -> Response:
        """Submit a job that computes the vector of a chunk again."""
        return self._act(service.embed_chunk, pk, **ChunkReasonSerializer.of(request.data).validated_data)

    @extend_schema(operation_id="chunks_versions", responses=ChunkVersionsSerializer)
    @action(detail=True)
    def versions(self, request: Request, pk: str) -> Response:
        """Return the earlier texts of a chunk, newest first: its first one, and up to 50 others."""
        versions = find_versions(get_chunk(UUID(pk))).order_by("-number")
        return Response(ChunkVersionsSerializer({"versions": versions}).data)

    @extend_schema(operation_id="chunks_restore", request=RestoreSerializer, responses=FullChunkSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Give a chunk the text of an earlier version."""
        body = RestoreSerializer.of(request.data).validated_data
        return self._act(service.restore_chunk, pk, number=body["version"], reason=body["reason"])

    def _act(self, act: Callable[..., Chunk], pk: str, **values: Any) -> Response:
        chunk = self.begin_edit(lambda: get_chunk(UUID(pk)))
        act(chunk_id=chunk.pk, **values)
        return _answer(get_chunk(chunk.pk))


def text_response(document: Any, before_page: Callable[[], None]) -> StreamingHttpResponse:
    """Return a response that writes the text of a document page by page; ``before_page`` checks the rights again."""
    headers = {
        "Content-Disposition": f'attachment; filename="document-{document.pk}.txt"',
        "Cache-Control": "private, no-store",
    }
    text = stream_text(document, before_page=before_page)
    return StreamingHttpResponse(text, headers=headers, content_type="text/plain; charset=utf-8")


def _answer(chunk: Chunk, *, status: int = 200) -> Response:
    return Response(FullChunkSerializer(chunk).data, status=status, headers=etag_headers(chunk))
