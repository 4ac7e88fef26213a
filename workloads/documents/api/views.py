"""API views of `datasets/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import SEARCH
from workloads.documents.api.serializers import (
    DatasetChangesSerializer,
    DatasetSerializer,
    NewDatasetSerializer,
    SearchAnswerSerializer,
    SearchSerializer,
)
from workloads.documents.models import Dataset
from workloads.documents.queries import get_dataset
from workloads.documents.search import SearchMode, Timings, search_dataset
from workloads.documents.service import create_dataset, delete_dataset, update_dataset


class DatasetViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Datasets: documents that are searched together."""

    model = Dataset
    serializer_class = DatasetSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.DATASETS_VIEW,
        "retrieve": Permission.DATASETS_VIEW,
        "search": Permission.DATASETS_VIEW,
        "create": Permission.DATASETS_MANAGE,
        "partial_update": Permission.DATASETS_MANAGE,
        "destroy": Permission.DATASETS_MANAGE,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"search": SEARCH}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="datasets_create", request=NewDatasetSerializer, responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Create a dataset."""
        body = NewDatasetSerializer.of(request.data)
        dataset = create_dataset(tenant=self.tenant, **body.validated_data)
        return _answer(dataset, status=201)

    @extend_schema(operation_id="datasets_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one dataset."""
        return _answer(get_dataset(UUID(pk)))

    @extend_schema(operation_id="datasets_update", request=DatasetChangesSerializer, responses=DatasetSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a dataset. New settings apply to documents that are indexed from now on."""
        dataset = self.begin_edit(lambda: get_dataset(UUID(pk)))
        body = DatasetChangesSerializer.of(request.data)
        return _answer(update_dataset(dataset=dataset, **body.validated_data))

    @extend_schema(operation_id="datasets_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a dataset. Answer 409 `dataset_in_use` if it has documents."""
        delete_dataset(dataset=self.begin_edit(lambda: get_dataset(UUID(pk))))
        return Response(status=204)

    @extend_schema(operation_id="datasets_search", request=SearchSerializer, responses=SearchAnswerSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def search(self, request: Request, pk: str) -> Response:
        """Return the chunks that match a query, by words, by meaning, or by both."""
        body = SearchSerializer.of(request.data)
        asked = body.validated_data
        timings = Timings()
        hits = search_dataset(
            dataset=get_dataset(UUID(pk)),
            query=asked["query"],
            top_k=asked["top_k"],
            mode=SearchMode(asked["mode"]),
            timings=timings,
        )
        return Response(SearchAnswerSerializer({"results": hits, "milliseconds": timings.parts}).data)


def _answer(dataset: Dataset, *, status: int = 200) -> Response:
    return Response(DatasetSerializer(dataset).data, status=status, headers=etag_headers(dataset))
