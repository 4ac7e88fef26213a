"""API views of `datasets/{id}/documents/` and `documents/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.kit.http import UrlRefusedError
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.exceptions import FieldInvalidError
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES, MAX_UPLOAD_BYTES
from workloads.documents.indexing.api.serializers import (
    TEXT_FORMATS,
    DocumentChangesSerializer,
    DocumentQuerySerializer,
    DocumentSerializer,
    FileBodySerializer,
    NewAddressSerializer,
    NewFilesSerializer,
    NewTextSerializer,
    ReasonBodySerializer,
    ReindexSerializer,
    UploadAnswerSerializer,
    UploadSerializer,
)
from workloads.documents.indexing.queries import find_documents, get_document
from workloads.documents.indexing.reindexing import reindex_document, replace_document
from workloads.documents.indexing.service import (
    change_metadata,
    delete_document,
    enable_document,
    pause_document,
    resume_document,
    retry_document,
)
from workloads.documents.indexing.uploads import UploadResult, add_address, add_text, upload_documents
from workloads.documents.models import Document
from workloads.documents.queries import get_dataset
from workloads.files.incoming import MAX_FILE_BYTES

_PAGING = frozenset({"limit", "cursor"})


class DatasetDocumentsViewSet(TenantViewSet):
    """The documents of one dataset."""

    model = Document
    serializer_class = DocumentSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    parser_classes: ClassVar[list[type[BaseParser]]] = [MultiPartParser]
    max_upload_bytes: ClassVar[Mapping[str, int]] = {"create": MAX_UPLOAD_BYTES}

    @extend_schema(operation_id="datasets_documents_list", responses=DocumentSerializer(many=True))
    def list(self, request: Request, dataset_id: str) -> Response:
        """List the documents of a dataset, newest first."""
        documents = find_documents().filter(dataset=get_dataset(UUID(dataset_id)))
        return _page(self, self.filter_queryset(documents))

    @extend_schema(
        operation_id="datasets_documents_upload",
        request={"multipart/form-data": UploadSerializer},
        responses={
            202: OpenApiResponse(UploadAnswerSerializer, description="Accepted; one job indexes each document.")
        },
    )
    def create(self, request: Request, dataset_id: str) -> Response:
        """Upload files to a dataset. All are accepted or none; then each refused file has an error."""
        dataset = get_dataset(UUID(dataset_id))
        asked = NewFilesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        upload = upload_documents(
            tenant=self.tenant,
            dataset=dataset,
            files=request.FILES.getlist("files"),
            is_rate_limited=True,
            **asked.validated_data,
        )
        return Response(UploadAnswerSerializer(_describe(upload)).data, status=202)


class DatasetSourcesViewSet(Unpaged, TenantViewSet):
    """Other ways to fill a dataset: from a text and from a URL."""

    model = Document
    serializer_class = DocumentSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "add_text": Permission.DATASETS_MANAGE,
        "add_address": Permission.DATASETS_MANAGE,
    }

    @extend_schema(
        operation_id="datasets_documents_from_text", request=NewTextSerializer, responses={202: UploadAnswerSerializer}
    )
    def add_text(self, request: Request, dataset_id: str) -> Response:
        """Create a document from a text. A text that the dataset already has is not indexed again."""
        asked = NewTextSerializer.of(request.data).validated_data
        upload = add_text(
            tenant=self.tenant,
            dataset=get_dataset(UUID(dataset_id)),
            name=asked["name"],
            text=asked["text"],
            content_type=TEXT_FORMATS[asked["format"]],
            metadata=asked.get("metadata"),
            is_rate_limited=True,
        )
        return Response(UploadAnswerSerializer(_describe(upload)).data, status=202)

    @extend_schema(
        operation_id="datasets_documents_from_url",
        request=NewAddressSerializer,
        responses={202: UploadAnswerSerializer},
    )
    def add_address(self, request: Request, dataset_id: str) -> Response:
        """Create a document from a URL, which the document's job fetches. A dataset has each URL only once."""
        body = NewAddressSerializer.of(request.data)
        dataset = get_dataset(UUID(dataset_id))
        try:
            upload = add_address(tenant=self.tenant, dataset=dataset, is_rate_limited=True, **body.validated_data)
        except UrlRefusedError as refusal:
            raise FieldInvalidError(f"url: {refusal}") from refusal
        return Response(UploadAnswerSerializer(_describe(upload)).data, status=202)


class DocumentViewSet(EditedRows, TenantViewSet):
    """The tenant's documents, and the progress of their indexing."""

    model = Document
    serializer_class = DocumentSerializer
    max_upload_bytes: ClassVar[Mapping[str, int]] = {"replace": MAX_FILE_BYTES + MAX_ANONYMOUS_BYTES}
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "retrieve": Permission.DATASETS_VIEW,
        "partial_update": Permission.DATASETS_MANAGE,
        "destroy": Permission.DATASETS_MANAGE,
        "retry": Permission.DATASETS_MANAGE,
        "pause": Permission.DATASETS_MANAGE,
        "resume": Permission.DATASETS_MANAGE,
        "reindex": Permission.DATASETS_MANAGE,
        "replace": Permission.DATASETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(
        operation_id="documents_list",
        parameters=[DocumentQuerySerializer],
        responses=DocumentSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List documents, newest first."""
        asked = {name: value for name, value in request.query_params.items() if name not in _PAGING}
        query = DocumentQuerySerializer.of(asked)
        names = {"dataset": "dataset_id", "batch": "batch_id", "status": "shown_status", "is_enabled": "is_enabled"}
        wanted = {names[name]: value for name, value in query.validated_data.items()}
        return _page(self, find_documents().filter(**wanted))

    @extend_schema(operation_id="documents_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one document."""
        return _answer(get_document(UUID(pk)))

    @extend_schema(operation_id="documents_update", request=DocumentChangesSerializer, responses=DocumentSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the metadata of a document, and whether searches find it. Nothing is indexed again."""
        changes = DocumentChangesSerializer.of(request.data).validated_data
        document = self.begin_edit(lambda: get_document(UUID(pk)))
        for name, change in (("metadata", change_metadata), ("is_enabled", enable_document)):
            if name in changes:
                change(document_id=document.pk, reason=changes["reason"], **{name: changes[name]})
        return _answer(get_document(document.pk))

    @extend_schema(operation_id="documents_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a document with its chunks, and cancel its job."""
        delete_document(document_id=self.begin_edit(lambda: get_document(UUID(pk))).pk)
        return Response(status=204)

    @extend_schema(operation_id="documents_retry", request=ReasonBodySerializer, responses=DocumentSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Retry a document whose job has failed. Chunks that are stored already are kept."""
        return self._act(retry_document, pk)

    @extend_schema(operation_id="documents_pause", request=ReasonBodySerializer, responses=DocumentSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause the indexing of a document."""
        return self._act(pause_document, pk)

    @extend_schema(operation_id="documents_resume", request=ReasonBodySerializer, responses=DocumentSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume a paused document."""
        return self._act(resume_document, pk)

    @extend_schema(operation_id="documents_reindex", request=ReindexSerializer, responses=DocumentSerializer)
    @action(detail=True, methods=["post"])
    def reindex(self, request: Request, pk: str) -> Response:
        """Re-index a document with the current settings of its dataset.

        Its old chunks serve searches until the new ones are complete.
        """
        body = ReindexSerializer.of(request.data)
        reindex_document(tenant=self.tenant, document_id=UUID(pk), is_rate_limited=True, **body.validated_data)
        return _answer(get_document(UUID(pk)))

    @extend_schema(
        operation_id="documents_replace",
        request={"multipart/form-data": FileBodySerializer},
        responses=DocumentSerializer,
    )
    @action(detail=True, methods=["post"], parser_classes=[MultiPartParser])
    def replace(self, request: Request, pk: str) -> Response:
        """Replace a document's file and index it. The old chunks serve searches until the new ones are complete."""
        document = get_document(UUID(pk))
        body = FileBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        replace_document(tenant=self.tenant, document_id=document.pk, is_rate_limited=True, **body.validated_data)
        return _answer(get_document(document.pk))

    def _act(self, act: Callable[..., object], pk: str) -> Response:
        body = ReasonBodySerializer.of(self.request.data)
        act(document_id=UUID(pk), reason=body.validated_data["reason"])
        return _answer(get_document(UUID(pk)))


def _answer(document: Document) -> Response:
    return Response(DocumentSerializer(document).data, headers=etag_headers(document))


def _page(view: TenantViewSet, documents: QuerySet[Document]) -> Response:
    page = view.paginate_queryset(documents)
    return view.get_paginated_response(DocumentSerializer(page, many=True).data)


def _describe(upload: UploadResult) -> dict[str, Any]:
    """Return the upload with its documents as the API shows them, each under the name that was sent."""
    documents = find_documents().in_bulk([file.document.pk for file in upload.files])
    entries = []
    for file in upload.files:
        # A copy: the same document may be listed twice, under two names.
        entry = copy(documents[file.document.pk])
        entry.name = file.name
        entry.chunks_estimated = file.chunks_estimated  # type: ignore[attr-defined]
        entry.duplicate_of = entry.pk if file.is_duplicate else None  # type: ignore[attr-defined]
        entries.append(entry)
    return {"batch": upload.batch_id, "documents": entries}
