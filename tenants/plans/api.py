"""The `plans/` and `tiers/` endpoints for platform staff."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, StrictSerializer, WholeNumberField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet
from tenants.database.reads import first_or_raise
from tenants.exceptions import AddressUnknownError
from tenants.limits.declared import MAX_LIMIT_VALUE
from tenants.models import Plan, Tier
from tenants.plans.models import MOST_CONCURRENCY, MOST_WEIGHT
from tenants.plans.queries import find_plans, get_plan
from tenants.plans.retry_rules import MOST_DELAY_SECONDS, MOST_DELAYS, MOST_RETRIES
from tenants.plans.service import PLANS, create_plan, create_tier, update_plan, update_tier
from tenants.versions.api import (
    PlanEditorViewSet,
    PlanEditSerializer,
    WaitingVersionSerializer,
    version_operations,
    versioned_permissions,
)
from tenants.versions.queries import waiting_versions

_MAX_INTEGER = 2**31 - 1


class RetryRuleSerializer(StrictSerializer):
    """A plan's retry rule for one kind of job: a maximum of retries, delays between them, or both."""

    max_retries = WholeNumberField(
        min_value=0, max_value=MOST_RETRIES, required=False, help_text="A maximum: it never raises a kind's own number."
    )
    delays_seconds = serializers.ListField(
        child=WholeNumberField(min_value=0, max_value=MOST_DELAY_SECONDS),
        min_length=1,
        max_length=MOST_DELAYS,
        required=False,
        help_text="In place of the kind's own; the last one repeats. Each is multiplied by 0.9 to 1.1.",
    )


class PlanSerializer(serializers.Serializer[Plan]):
    """A plan with its limits."""

    slug = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField(source="tier_id")
    weight = serializers.IntegerField(help_text="Weight against other tenants.")
    max_concurrency = serializers.IntegerField()
    max_waiting_jobs = serializers.IntegerField()
    submits_per_minute = serializers.IntegerField()
    worker_seconds_per_month = serializers.IntegerField()
    max_priority = serializers.IntegerField()
    retry_rules = serializers.DictField(
        child=RetryRuleSerializer(), help_text="Retry rules by kind; `*` is every kind."
    )
    needs_second_factor = serializers.BooleanField(help_text="Members must have a second factor.")
    limits = serializers.SerializerMethodField(help_text="Limits that plug-ins declare, by key.")
    version = serializers.IntegerField(help_text="Number of the version in effect.")
    waiting_versions = serializers.SerializerMethodField()

    def get_limits(self, plan: Plan) -> dict[str, int]:
        return {limit.key: limit.value for limit in plan.limits.all()}

    def get_waiting_versions(self, plan: Plan) -> list[dict[str, Any]]:
        return list(WaitingVersionSerializer(waiting_versions(plan), many=True).data)


class PlanChangeSerializer(PlanEditSerializer):
    """Request body: new values of some fields of a plan. `limits` replaces all limits that plug-ins declare."""

    name = NameField(max_length=100, required=False)
    tier = NameField(max_length=50, required=False, help_text="Its slug.")
    weight = WholeNumberField(min_value=1, max_value=MOST_WEIGHT, required=False)
    max_concurrency = WholeNumberField(min_value=0, max_value=MOST_CONCURRENCY, required=False)
    max_waiting_jobs = WholeNumberField(min_value=0, max_value=_MAX_INTEGER, required=False)
    submits_per_minute = WholeNumberField(min_value=0, max_value=_MAX_INTEGER, required=False)
    worker_seconds_per_month = WholeNumberField(min_value=0, max_value=_MAX_INTEGER, required=False)
    max_priority = WholeNumberField(min_value=0, max_value=32_767, required=False)
    retry_rules = serializers.DictField(
        child=RetryRuleSerializer(), required=False, help_text="By kind, `*` for every kind; replaces all rules."
    )
    needs_second_factor = serializers.BooleanField(required=False, help_text="Members must have a second factor.")
    limits = serializers.DictField(
        child=WholeNumberField(min_value=0, max_value=MAX_LIMIT_VALUE), required=False, help_text="By key."
    )

    def validate_limits(self, limits: dict[str, int]) -> dict[str, int]:
        for key in limits:
            NameField(max_length=100).run_validation(key)
        return limits


class NewPlanSerializer(PlanChangeSerializer):
    """Request body of a new plan; fields that are left out get their defaults."""

    slug = NameField(max_length=50, help_text="It cannot be changed.")
    name = NameField(max_length=100)
    tier = NameField(max_length=50, help_text="Its slug.")
    max_waiting_jobs = WholeNumberField(min_value=0, max_value=_MAX_INTEGER)
    submits_per_minute = WholeNumberField(min_value=0, max_value=_MAX_INTEGER)
    worker_seconds_per_month = WholeNumberField(min_value=0, max_value=_MAX_INTEGER)
    # A new plan has no version that one could expect or plan ahead of.
    expected_version = effective_from = None  # type: ignore[assignment]


@extend_schema_view(**version_operations("plans"))
class PlanViewSet(PlanEditorViewSet):
    """The plans that tenants can have."""

    model = Plan
    serializer_class = PlanSerializer
    permissions = versioned_permissions(Permission.PLANS_MANAGE)
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]{1,50}"
    versioned = PLANS
    find = staticmethod(get_plan)
    http_method_names: ClassVar[list[str]] = ["get", "head", "patch", "post"]
    orderings = ("id", "slug")

    def get_queryset(self) -> Any:
        return find_plans()

    @extend_schema(operation_id="plans_create", request=NewPlanSerializer, responses={201: PlanSerializer})
    def create(self, request: Request) -> Response:
        """Add a plan, as its first version."""
        values, options = NewPlanSerializer.of(request.data).split()
        limits = values.pop("limits", None)
        return self.answer(create_plan(values=values, limits=limits, **options), status=201)

    @extend_schema(operation_id="plans_list", responses=PlanSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all plans."""
        return super().list(request)

    @extend_schema(operation_id="plans_retrieve")
    def retrieve(self, request: Request, slug: str) -> Response:
        """Return a plan and its scheduled versions."""
        return self.answer(get_plan(slug))

    @extend_schema(operation_id="plans_update", request=PlanChangeSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a plan, now or from a later time on.

        The change applies to all its tenants and also to jobs that wait.
        """
        changes, options = PlanChangeSerializer.of(request.data).split()
        limits = changes.pop("limits", None)
        plan = self.begin_plan_edit(slug, options)
        update_plan(plan=plan, changes=changes, limits=limits, **options)
        return self.answer(plan)


class TierSerializer(StrictSerializer):
    """A tier, a class of service that plans belong to."""

    slug = NameField(max_length=50, help_text="It cannot be changed.")
    name = NameField(max_length=100)
    rank = WholeNumberField(min_value=0, max_value=32_767, help_text="Greater is better; each tier has another.")


class TierViewSet(ListModelMixin, EditedRows, StaffViewSet):
    """The tiers of plans."""

    model = Tier
    serializer_class = TierSerializer
    permissions = {name: PlanViewSet.permissions[name] for name in ("list", "retrieve", "create", "partial_update")}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    orderings = ("rank", "slug")
    asked_ordering = "rank"
    lookup_field = "slug"
    lookup_value_regex = PlanViewSet.lookup_value_regex

    @extend_schema(operation_id="tiers_retrieve")
    def retrieve(self, request: Request, slug: str) -> Response:
        """Return a tier."""
        return self._answer(self._find(slug))

    @extend_schema(operation_id="tiers_create", responses={201: TierSerializer})
    def create(self, request: Request) -> Response:
        """Add a tier. Plans can have it at once; CFS plans give it no queue yet."""
        return self._answer(create_tier(**TierSerializer.of(request.data).validated_data), status=201)

    @extend_schema(operation_id="tiers_update")
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change the name or the rank of a tier."""
        changes = TierSerializer.of(request.data, partial=True).validated_data
        return self._answer(update_tier(tier=self.begin_edit(lambda: self._find(slug)), changes=changes))

    def _find(self, slug: str) -> Tier:
        return first_or_raise(Tier.objects.filter(pk=slug), AddressUnknownError("There is no such tier."))

    def _answer(self, tier: Tier, *, status: int = 200) -> Response:
        return Response(TierSerializer(tier).data, status=status, headers=etag_headers(tier))
