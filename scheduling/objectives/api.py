"""API of `objectives/`: what is promised, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.models import Objective
from scheduling.objectives.models import TARGET_SECONDS
from scheduling.objectives.queries import read_standings
from scheduling.objectives.service import create_objective, delete_objective, update_objective
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.database.reads import first_or_raise
from tenants.exceptions import AddressUnknownError
from tenants.plans.service import find_tier


class ObjectiveWriteSerializer(StrictSerializer):
    """Request body: the fields of an objective to create or change."""

    name = NameField(max_length=100)
    tier = NameField(max_length=50, required=False, allow_null=True, help_text="Slug; only without a tenant.")
    kind = NameField(max_length=64, required=False, allow_blank=True, help_text="Empty: every kind.")
    target_share = serializers.FloatField(min_value=0.5, max_value=0.9999, required=False)
    target_seconds = serializers.ChoiceField(choices=[seconds for seconds, _ in TARGET_SECONDS], required=False)
    window_days = serializers.ChoiceField(choices=[7, 28], required=False)

    def read(self) -> dict[str, Any]:
        """Return the values of the objective's fields."""
        values = dict(self.validated_data)
        if values.get("tier") is not None:
            values["tier"] = find_tier(values["tier"])
        return values


class ObjectiveSerializer(serializers.Serializer[Objective]):
    """An objective with its standing over the window of its budget."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug", default=None, allow_null=True)
    name = serializers.CharField()
    tier = serializers.CharField(source="tier_id", allow_null=True)
    kind = serializers.CharField()
    target_share = serializers.FloatField()
    target_seconds = serializers.IntegerField()
    window_days = serializers.IntegerField()
    created_at = serializers.DateTimeField(help_text="When its counts began.")
    standing = serializers.SerializerMethodField(
        help_text="Jobs in time and late, late ones excused by reason, the budget left (1 is all), and burn rates."
    )

    def get_standing(self, objective: Objective) -> dict[str, Any]:
        (found,) = read_standings([objective])
        return {
            "good": found.counts.good,
            "late": found.counts.late,
            "excused": found.counts.excused,
            "budget_left": found.budget_left,
            "burn_1h": found.burn_hour,
            "burn_6h": found.burn_six_hours,
        }


class ObjectiveViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Objectives: a tenant sees and changes its own, platform staff those of tiers, kinds and tenants."""

    model = Objective
    serializer_class = ObjectiveSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "create": Permission.ALERTS_MANAGE,
        "partial_update": Permission.ALERTS_MANAGE,
        "destroy": Permission.ALERTS_MANAGE,
    }
    over_all_tenants: ClassVar[frozenset[str]] = frozenset({"create", "partial_update", "destroy"})
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> QuerySet[Objective]:
        return super().get_queryset().select_related("tenant")

    @extend_schema(
        operation_id="objectives_create", request=ObjectiveWriteSerializer, responses={201: ObjectiveSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create an objective of the tenant or, by platform staff without one, of the platform."""
        body = ObjectiveWriteSerializer.of(request.data)
        return self._respond(create_objective(tenant=self.access.tenant, values=body.read()), status=201)

    @extend_schema(operation_id="objectives_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return an objective with its standing."""
        return self._respond(self._find(pk))

    @extend_schema(operation_id="objectives_update", request=ObjectiveWriteSerializer, responses=ObjectiveSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change fields of an objective; its counts begin again if it covers other jobs or has another time."""
        objective = self.begin_edit(lambda: self._find(pk))
        body = ObjectiveWriteSerializer.of(request.data, partial=True)
        return self._respond(update_objective(objective=objective, changes=body.read()))

    @extend_schema(operation_id="objectives_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an objective with its counts."""
        delete_objective(objective=self.begin_edit(lambda: self._find(pk)))
        return Response(status=204)

    def _find(self, pk: str) -> Objective:
        return first_or_raise(self.get_queryset().filter(pk=UUID(pk)), AddressUnknownError)

    def _respond(self, objective: Objective, status: int = 200) -> Response:
        return Response(ObjectiveSerializer(objective).data, status=status, headers=etag_headers(objective))
