"""API views of operations over all documents of a dataset, or many: each is one job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged
from workloads.documents.indexing.api.serializers import (
    NamedDocumentsSerializer,
    OperationSerializer,
    ReindexDatasetSerializer,
)
from workloads.documents.indexing.dataset_operations import StartedOperation, enable_documents, reindex_dataset
from workloads.documents.models import Document


class DatasetOperationsViewSet(Unpaged, TenantViewSet):
    """Operations over the documents of a dataset. The job of each has the progress and can be cancelled."""

    model = Document
    serializer_class = OperationSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "reindex": Permission.DATASETS_MANAGE,
        "disable_documents": Permission.DATASETS_MANAGE,
        "enable_documents": Permission.DATASETS_MANAGE,
    }

    @extend_schema(
        operation_id="datasets_reindex", request=ReindexDatasetSerializer, responses={202: OperationSerializer}
    )
    def reindex(self, request: Request, dataset_id: str) -> Response:
        """Re-index those documents of a dataset that were indexed with other settings than its current ones.

        The old chunks of a document serve searches until its new ones are complete.
        """
        asked = ReindexDatasetSerializer.of(request.data).validated_data
        return self._start(reindex_dataset, dataset_id, everything=asked.pop("all"), **asked)

    @extend_schema(
        operation_id="datasets_disable_documents",
        request=NamedDocumentsSerializer,
        responses={202: OperationSerializer},
    )
    def disable_documents(self, request: Request, dataset_id: str) -> Response:
        """Let no search find documents of a dataset; they are kept."""
        return self._start(enable_documents, dataset_id, is_enabled=False, **self._named())

    @extend_schema(
        operation_id="datasets_enable_documents", request=NamedDocumentsSerializer, responses={202: OperationSerializer}
    )
    def enable_documents(self, request: Request, dataset_id: str) -> Response:
        """Let searches find documents of a dataset again."""
        return self._start(enable_documents, dataset_id, is_enabled=True, **self._named())

    def _named(self) -> dict[str, Any]:
        asked = NamedDocumentsSerializer.of(self.request.data).validated_data
        return {name: value for name, value in asked.items() if name != "all"}

    def _start(self, operation: Callable[..., StartedOperation], dataset_id: str, **asked: Any) -> Response:
        started = operation(tenant=self.tenant, dataset_id=UUID(dataset_id), is_rate_limited=True, **asked)
        return Response(OperationSerializer(started).data, status=202)
