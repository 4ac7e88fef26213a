"""API of `circuits/` and `shared-circuits/`: list, reset and force circuit breakers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer, page_response
from scheduling.breakers.models import STATE_CHOICES
from scheduling.breakers.queries import list_circuits, list_circuits_before
from scheduling.breakers.service import REASON_LIMIT, force_circuit, reset_circuit
from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS
from scheduling.models import Circuit
from scheduling.stops.api import NAME_PATTERN
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.api.pagination import OldestFirstPagination
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.context import all_tenants

# A shared breaker's failures include other tenants': these fields are masked.
_OF_OTHERS = {"failures": None, "fingerprint": "", "error_type": "", "error_message": ""}


class CircuitSerializer(serializers.Serializer[Circuit]):
    """Circuit breaker of a dependency of jobs of one kind; it exists only after a failure or while it is forced."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, help_text="Null: shared by all tenants.")
    kind = serializers.CharField()
    dependency = serializers.CharField(help_text="The dependency; empty: the kind itself.")
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    failures = serializers.IntegerField(
        allow_null=True, help_text="Consecutive failures. Null if they include other tenants'."
    )
    fingerprint = serializers.CharField()
    error_type = serializers.CharField()
    error_message = serializers.CharField(help_text="Beginning of the last failure's message.")
    opened_at = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(
        allow_null=True, help_text="When one job probes, or the forced state ends; null: not known."
    )
    reason = serializers.CharField(source="forced_reason", help_text="Reason of the forced state.")

    def to_representation(self, instance: Circuit) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)
        return answer if instance.tenant_id is not None else answer | _OF_OTHERS


class SharedCircuitSerializer(CircuitSerializer):
    """Circuit breaker of a dependency that all tenants share."""

    tenants = serializers.SerializerMethodField()

    def get_tenants(self, circuit: Circuit) -> int:
        """Return the number of tenants whose jobs had the counted failures."""
        return len(circuit.tenants)

    def to_representation(self, instance: Circuit) -> dict[str, Any]:
        answer: dict[str, Any] = serializers.Serializer.to_representation(self, instance)
        return answer


class ResetCircuitSerializer(StrictSerializer):
    """Request to reset a breaker: its dependency (empty: the kind itself) and the reason."""

    dependency = NameField(max_length=MAX_DEPENDENCY_CHARACTERS, required=False, allow_blank=True, default="")
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class ForceCircuitSerializer(StrictSerializer):
    """Request to force a breaker: its dependency, the forced state, the reason and an optional end."""

    dependency = NameField(max_length=MAX_DEPENDENCY_CHARACTERS, required=False, allow_blank=True, default="")
    state = serializers.ChoiceField(
        choices=["open", "closed"], help_text="`open`: its jobs wait. `closed`: its jobs run, whatever fails."
    )
    reason = NameField(max_length=REASON_LIMIT)
    until = MomentField(
        required=False, allow_null=True, default=None, help_text="Absent or null: until a person ends it."
    )


class CircuitViewSet(TenantViewSet):
    """Circuit breakers of the tenant's jobs. An open breaker makes the jobs of a kind wait while a dependency fails."""

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
        """List the tenant's breakers, also those that only count failures, and the shared breakers that are open."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return page_response(self, list_circuits_before(self.tenant.pk), CircuitSerializer)

    @extend_schema(operation_id="circuits_reset", request=ResetCircuitSerializer, responses=CircuitSerializer)
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, kind: str) -> Response:
        """Close a breaker, end its forced state and set its failures to 0; the jobs that wait for it become ready."""
        return Response(CircuitSerializer(_reset(request, kind, self.tenant.pk)).data)

    @extend_schema(operation_id="circuits_force", request=ForceCircuitSerializer, responses=CircuitSerializer)
    @action(detail=True, methods=["post"])
    def force(self, request: Request, kind: str) -> Response:
        """Force a breaker open (its jobs wait) or closed (they run even if jobs fail). `reset` ends the forced state.

        A repeated call replaces state, reason and end.
        """
        return Response(CircuitSerializer(_force(request, kind, self.tenant.pk)).data)


class SharedCircuitViewSet(StaffViewSet):
    """Circuit breakers of dependencies that all tenants share."""

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
        """List the shared breakers, including those that only count failures."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return page_response(self, list_circuits().filter(tenant=None), SharedCircuitSerializer)

    @extend_schema(
        operation_id="shared_circuits_reset", request=ResetCircuitSerializer, responses=SharedCircuitSerializer
    )
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, kind: str) -> Response:
        """Close a shared breaker at once and end its forced state."""
        return Response(SharedCircuitSerializer(_reset(request, kind, None)).data)

    @extend_schema(
        operation_id="shared_circuits_force", request=ForceCircuitSerializer, responses=SharedCircuitSerializer
    )
    @action(detail=True, methods=["post"])
    def force(self, request: Request, kind: str) -> Response:
        """Force a shared breaker open or closed for all tenants."""
        return Response(SharedCircuitSerializer(_force(request, kind, None)).data)


def _reset(request: Request, kind: str, tenant_id: UUID | None) -> Circuit:
    return reset_circuit(kind=kind, tenant_id=tenant_id, **ResetCircuitSerializer.of(request.data).validated_data)


def _force(request: Request, kind: str, tenant_id: UUID | None) -> Circuit:
    values = dict(ForceCircuitSerializer.of(request.data).validated_data)
    is_open = values.pop("state") == "open"
    return force_circuit(kind=kind, tenant_id=tenant_id, is_open=is_open, **values)
