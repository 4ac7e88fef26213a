"""`circuits/` and `shared-circuits/`: the circuit breakers before what jobs need, and deciding on one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer
from scheduling.api.responses import page_response
from scheduling.api.serializers.circuits import (
    CircuitSerializer,
    ForceCircuitSerializer,
    ResetCircuitSerializer,
    SharedCircuitSerializer,
)
from scheduling.api.views.stops import NAME_PATTERN
from scheduling.models import Circuit
from scheduling.selectors.circuits import list_circuits, list_circuits_before
from scheduling.services.circuits import force_circuit, reset_circuit
from tenants.api.pagination import OldestFirstPagination
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.context import all_tenants
from tenants.permissions import Permission


class CircuitViewSet(TenantViewSet):
    """Breakers that count failures, or hold a kind's jobs back."""

    model = Circuit
    serializer_class = CircuitSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "reset": Permission.JOBS_RETRY,
        "force": Permission.TENANT_PAUSE,
    }
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = OldestFirstPagination
    lookup_field = "kind"
    lookup_value_regex = NAME_PATTERN

    @extend_schema(operation_id="circuits_list", parameters=PAGING_PARAMETERS, responses=CircuitSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the breakers of kinds whose jobs have failed lately, and the shared ones that hold jobs back."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return page_response(self, list_circuits_before(self.tenant.pk), CircuitSerializer)

    @extend_schema(operation_id="circuits_reset", request=ResetCircuitSerializer, responses=CircuitSerializer)
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, kind: str) -> Response:
        """Close a breaker now, or let go of one held by hand: its jobs come back, what it counted is forgotten."""
        return Response(CircuitSerializer(_reset(request, kind, self.tenant.pk)).data)

    @extend_schema(operation_id="circuits_force", request=ForceCircuitSerializer, responses=CircuitSerializer)
    @action(detail=True, methods=["post"])
    def force(self, request: Request, kind: str) -> Response:
        """Hold a breaker open or closed, whatever fails. Again: a new state, reason and end; `reset` ends it."""
        return Response(CircuitSerializer(_force(request, kind, self.tenant.pk)).data)


class SharedCircuitViewSet(StaffViewSet):
    """Breakers of what the platform provides to all tenants."""

    model = Circuit
    serializer_class = SharedCircuitSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "reset": Permission.QUEUES_OPERATE,
        "force": Permission.QUEUES_OPERATE,
    }
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = OldestFirstPagination
    lookup_field = "kind"
    lookup_value_regex = NAME_PATTERN

    @extend_schema(
        operation_id="shared_circuits_list",
        parameters=PAGING_PARAMETERS,
        responses=SharedCircuitSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List the shared breakers, those that count failures included."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return page_response(self, list_circuits().filter(tenant=None), SharedCircuitSerializer)

    @extend_schema(
        operation_id="shared_circuits_reset", request=ResetCircuitSerializer, responses=SharedCircuitSerializer
    )
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, kind: str) -> Response:
        """Close a shared breaker now, or let go of one held by hand."""
        return Response(SharedCircuitSerializer(_reset(request, kind, None)).data)

    @extend_schema(
        operation_id="shared_circuits_force", request=ForceCircuitSerializer, responses=SharedCircuitSerializer
    )
    @action(detail=True, methods=["post"])
    def force(self, request: Request, kind: str) -> Response:
        """Hold a shared breaker open or closed for all tenants."""
        return Response(SharedCircuitSerializer(_force(request, kind, None)).data)


def _reset(request: Request, kind: str, tenant_id: UUID | None) -> Circuit:
    body = ResetCircuitSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    return reset_circuit(kind=kind, tenant_id=tenant_id, **body.validated_data)


def _force(request: Request, kind: str, tenant_id: UUID | None) -> Circuit:
    body = ForceCircuitSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    values = dict(body.validated_data)
    is_open = values.pop("state") == "open"
    return force_circuit(kind=kind, tenant_id=tenant_id, is_open=is_open, **values)
