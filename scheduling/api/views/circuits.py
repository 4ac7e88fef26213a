"""`circuits/`: the circuit breakers of a tenant's kinds, and closing one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer
from scheduling.api.responses import OldestFirstPagination, page_response
from scheduling.api.serializers.circuits import CircuitSerializer
from scheduling.api.views.stops import NAME_PATTERN
from scheduling.models import Circuit
from scheduling.selectors.circuits import list_circuits
from scheduling.services.circuits import reset_circuit
from tenants.api.serializers import WhySerializer
from tenants.api.viewsets import TenantViewSet
from tenants.permissions import Permission


class CircuitViewSet(TenantViewSet):
    """Breakers that count failures, or hold a kind's jobs back."""

    model = Circuit
    serializer_class = CircuitSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.JOBS_VIEW, "reset": Permission.JOBS_RETRY}
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = OldestFirstPagination
    lookup_field = "kind"
    lookup_value_regex = NAME_PATTERN

    @extend_schema(operation_id="circuits_list", parameters=PAGING_PARAMETERS, responses=CircuitSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the breakers of kinds whose jobs have failed lately."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, list_circuits(), CircuitSerializer)

    @extend_schema(operation_id="circuits_reset", request=WhySerializer, responses=CircuitSerializer)
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, kind: str) -> Response:
        """Close a breaker now: its jobs come back at once, and what it counted is forgotten."""
        body = WhySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        circuit = reset_circuit(kind=kind, tenant_id=self.tenant.pk, reason=body.validated_data["reason"])
        return Response(CircuitSerializer(circuit).data)
