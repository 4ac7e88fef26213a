"""API views of `model-endpoints/` and `model-usage/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PAGING, PagingOnly
from tenants.api.viewsets import TenantViewSet
from workloads.model_endpoints.api.serializers import (
    ModelEndpointChangeSerializer,
    ModelEndpointCreateSerializer,
    ModelEndpointSerializer,
    ModelTestSerializer,
    ModelUsageSerializer,
    ProbeAnswerSerializer,
    UsageFilterSerializer,
)
from workloads.model_endpoints.models import ModelEndpoint, UsageDay
from workloads.model_endpoints.probe import probe_endpoint
from workloads.model_endpoints.queries import find_usage, get_endpoint, list_endpoints
from workloads.model_endpoints.service import create_endpoint, delete_endpoint, update_endpoint


class ModelEndpointViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Model endpoints: services of the tenant that serve models."""

    model = ModelEndpoint
    serializer_class = ModelEndpointSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.TENANT_VIEW,
        "retrieve": Permission.TENANT_VIEW,
        "create": Permission.TENANT_MANAGE,
        "partial_update": Permission.TENANT_MANAGE,
        "destroy": Permission.TENANT_MANAGE,
        "test": Permission.JOBS_SUBMIT,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> QuerySet[ModelEndpoint]:
        return list_endpoints()

    @extend_schema(
        operation_id="model_endpoints_create",
        request=ModelEndpointCreateSerializer,
        responses={201: ModelEndpointSerializer},
    )
    def create(self, request: Request) -> Response:
        """Create a model endpoint with its models."""
        body = ModelEndpointCreateSerializer.of(request.data)
        return self._shown(create_endpoint(tenant=self.tenant, **body.validated_data), status=201)

    @extend_schema(operation_id="model_endpoints_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a model endpoint."""
        return self._shown(get_endpoint(UUID(pk)))

    @extend_schema(
        operation_id="model_endpoints_update", request=ModelEndpointChangeSerializer, responses=ModelEndpointSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields of a model endpoint. `models` replaces the whole list."""
        endpoint = self.begin_edit(lambda: get_endpoint(UUID(pk)))
        body = ModelEndpointChangeSerializer.of(request.data)
        return self._shown(update_endpoint(endpoint_id=endpoint.pk, changes=body.validated_data))

    @extend_schema(operation_id="model_endpoints_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a model endpoint that nothing refers to. Its usage is kept."""
        delete_endpoint(endpoint=self.begin_edit(lambda: get_endpoint(UUID(pk))))
        return Response(status=204)

    @extend_schema(operation_id="model_endpoints_test", request=ModelTestSerializer, responses=ProbeAnswerSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def test(self, request: Request, pk: str) -> Response:
        """Send one small request to a model of the endpoint, and return its answer, time and tokens."""
        body = ModelTestSerializer.of(request.data)
        answer = probe_endpoint(endpoint=get_endpoint(UUID(pk)), model=body.validated_data["model"])
        return Response(ProbeAnswerSerializer(answer).data)

    def _shown(self, endpoint: ModelEndpoint, *, status: int = 200) -> Response:
        return Response(ModelEndpointSerializer(endpoint).data, status=status, headers=etag_headers(endpoint))


class ModelUsageViewSet(TenantViewSet):
    """Usage of models: requests, tokens and cost by day, endpoint and model."""

    model = UsageDay
    serializer_class = ModelUsageSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.TENANT_VIEW}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(
        operation_id="model_usage_list", parameters=[UsageFilterSerializer], responses=ModelUsageSerializer(many=True)
    )
    def list(self, request: Request) -> Response:
        """List the usage of models, newest day first."""
        asked = {name: value for name, value in request.query_params.items() if name not in PAGING}
        page = self.paginate_queryset(find_usage(**UsageFilterSerializer.of(asked).validated_data))
        return self.get_paginated_response(ModelUsageSerializer(page, many=True).data)
