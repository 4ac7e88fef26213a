"""API of `cfs-plans/`: which queue serves each tier, and the weights of the queues."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.models import CFSPlan
from scheduling.plans.queries import find_cfs_plans, get_cfs_plan
from scheduling.plans.service import CFS_PLANS, MAX_WEIGHT, TierRow, activate_cfs_plan, create_cfs_plan, update_cfs_plan
from scheduling.topology.queries import queue_ids
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer, WholeNumberField
from tenants.tenancy.regions import REGION_LENGTH
from tenants.tenancy.serializers import ReasonSerializer
from tenants.versions.api import (
    PlanEditorViewSet,
    PlanEditSerializer,
    WaitingVersionSerializer,
    version_operations,
    versioned_permissions,
)
from tenants.versions.queries import waiting_versions

MAX_TIERS = 100


class CFSPlanTierSerializer(StrictSerializer):
    """The queues for the jobs of a tier that are routed by tier, and the weight of each."""

    tier = NameField(source="tier_id", max_length=50)
    region = NameField(
        max_length=REGION_LENGTH,
        required=False,
        allow_blank=True,
        help_text="For tenants of this home region; empty or absent: for all without a row of their own.",
    )
    queue = NameField(source="queue.name", max_length=60)
    io_queue = NameField(
        source="io_queue.name",
        max_length=60,
        required=False,
        allow_null=True,
        help_text="Queue of asynchronous kinds, of an I/O pool; null or absent: the same queue.",
    )
    weight = WholeNumberField(min_value=1, max_value=MAX_WEIGHT)


class CFSPlanSerializer(serializers.Serializer[CFSPlan]):
    """A CFS plan with its tier rows."""

    name = serializers.CharField()
    is_active = serializers.BooleanField()
    strategy = serializers.CharField()
    granularity_seconds = serializers.IntegerField(help_text="Length of a time slice.")
    reserved_slots = serializers.IntegerField(help_text="Slots reserved for tenants below their share.")
    tiers = CFSPlanTierSerializer(many=True)
    version = serializers.IntegerField(help_text="Number of the version in effect.")
    updated_at = serializers.DateTimeField()
    waiting_versions = serializers.SerializerMethodField()

    def get_waiting_versions(self, plan: CFSPlan) -> list[dict[str, Any]]:
        return list(WaitingVersionSerializer(waiting_versions(plan), many=True).data)


class CFSPlanChangeSerializer(PlanEditSerializer):
    """Request to change some fields of a CFS plan; `tiers` replaces all tier rows."""

    name = NameField(max_length=60, required=False)
    strategy = serializers.ChoiceField(choices=CFSPlan.Strategy.choices, required=False)
    granularity_seconds = WholeNumberField(min_value=1, max_value=86_400, required=False)
    reserved_slots = WholeNumberField(min_value=0, max_value=2**31 - 1, required=False)
    tiers = CFSPlanTierSerializer(many=True, required=False, max_length=MAX_TIERS)


class NewCFSPlanSerializer(CFSPlanChangeSerializer):
    """Request to add a CFS plan; fields that are left out get their defaults."""

    name = NameField(max_length=60)
    # A new plan has no version that one could expect or plan ahead of.
    expected_version = effective_from = None  # type: ignore[assignment]


@extend_schema_view(**version_operations("cfs_plans"))
class CFSPlanViewSet(PlanEditorViewSet):
    """CFS plans: which queue serves each tier, and how queues share the slots. Exactly one plan is active."""

    model = CFSPlan
    serializer_class = CFSPlanSerializer
    permissions = {**versioned_permissions(Permission.FAIRNESS_MANAGE), "activate": Permission.FAIRNESS_MANAGE}
    lookup_field = "name"
    lookup_value_regex = "[^/]{1,60}"
    versioned = CFS_PLANS
    find = staticmethod(get_cfs_plan)
    http_method_names: ClassVar[list[str]] = ["get", "head", "patch", "post"]
    orderings = ("id", "name")

    def get_queryset(self) -> Any:
        return find_cfs_plans()

    @extend_schema(operation_id="cfs_plans_list", responses=CFSPlanSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List CFS plans."""
        return super().list(request)

    @extend_schema(operation_id="cfs_plans_create", request=NewCFSPlanSerializer, responses={201: CFSPlanSerializer})
    def create(self, request: Request) -> Response:
        """Add a CFS plan, as its first version; it is not active."""
        fields, options = NewCFSPlanSerializer.of(request.data).split()
        tiers = _tier_rows(fields.pop("tiers", [])) or []
        return self.answer(create_cfs_plan(fields=fields, tiers=tiers, **options), status=201)

    @extend_schema(operation_id="cfs_plans_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Return a CFS plan with its scheduled versions."""
        return self.answer(get_cfs_plan(name))

    @extend_schema(operation_id="cfs_plans_update", request=CFSPlanChangeSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Change a CFS plan now or at a later time; a change of the active plan applies from the next tick."""
        fields, options = CFSPlanChangeSerializer.of(request.data).split()
        tiers = fields.pop("tiers", None)
        plan = self.begin_plan_edit(name, options)
        update_cfs_plan(plan=plan, fields=fields, tiers=_tier_rows(tiers), **options)
        return self.answer(plan)

    @extend_schema(operation_id="cfs_plans_activate", request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, name: str) -> Response:
        """Activate the plan; it applies from the next tick on. Refused if the plan has no queue for some tier."""
        plan = get_cfs_plan(name)
        activate_cfs_plan(plan=plan, reason=ReasonSerializer.of(request.data).validated_data["reason"])
        return self.answer(plan)


def _tier_rows(given: list[dict[str, Any]] | None) -> list[TierRow] | None:
    if given is None:
        return None
    ids = queue_ids()
    io_names = [row.get("io_queue", {}).get("name") for row in given]
    # No queue has the id 0; the service rejects unknown ids.
    return [
        TierRow(
            row["tier_id"],
            ids.get(row["queue"]["name"], 0),
            row["weight"],
            None if name is None else ids.get(name, 0),
            row.get("region", ""),
        )
        for row, name in zip(given, io_names, strict=True)
    ]
