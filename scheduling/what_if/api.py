"""API of `cfs-plans/what-if/`: predicts the effect of changed settings from the last hour's work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.load import Change
from scheduling.fairness.lab.what_if import ComparedShare, Note, ProjectedShare, Totals, WhatIf
from scheduling.models import CFSPlan
from scheduling.what_if.queries import answer_what_if
from tenants.access.permissions import Permission
from tenants.api.input import StrictSerializer, TextField, WholeNumberField
from tenants.api.viewsets import StaffViewSet
from tenants.limits.declared import HEAVY

MOST_WEIGHT, MOST_FACTOR, MOST_CAP, MOST_SLOTS = 1_000, 999.999, 100_000, 10_000
# Limit of simultaneous changes.
MOST_NAMES = 200
POLICIES = {CFSPlan.Strategy.NOP.value: OrderPolicy.FIFO, CFSPlan.Strategy.TIME_SLICE.value: OrderPolicy.TIME_SLICE}


class FiniteNumberField(serializers.FloatField):
    """Number field that accepts finite JSON numbers only, not texts or booleans."""

    default_error_messages = {"not_number": gettext_lazy("Not a number.")}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
            self.fail("not_number")
        return float(super().to_internal_value(data))


class NamedField(serializers.DictField):
    """Mapping from names, such as slugs, to changes of the named objects."""

    default_error_messages = {
        "many": gettext_lazy("No more than {most} at once."),
        "empty": gettext_lazy("Nothing is changed here."),
    }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and len(data) > MOST_NAMES:
            self.fail("many", most=MOST_NAMES)
        found = super().to_internal_value(data)
        if not all(found.values()):
            self.fail("empty")
        return found


class WhatIfPlanChangeSerializer(StrictSerializer):
    """Changed weight or cap of a plan of tenants."""

    weight = WholeNumberField(required=False, min_value=1, max_value=MOST_WEIGHT)
    max_concurrency = WholeNumberField(required=False, min_value=0, max_value=MOST_CAP)


class TenantChangeSerializer(StrictSerializer):
    """Changed weight factor or cap of one tenant."""

    factor = FiniteNumberField(required=False, min_value=0.001, max_value=MOST_FACTOR)
    max_concurrency = WholeNumberField(
        required=False, allow_null=True, min_value=0, max_value=MOST_CAP, help_text="Null: the plan's number."
    )


class QueueChangeSerializer(StrictSerializer):
    """Changed weight or cap of a queue."""

    weight = WholeNumberField(
        required=False,
        min_value=1,
        max_value=MOST_WEIGHT,
        help_text="Without effect if the active CFS plan names the queue: change the tier.",
    )
    cap = WholeNumberField(required=False, allow_null=True, min_value=0, max_value=MOST_CAP, help_text="Null: no cap.")


class TierChangeSerializer(StrictSerializer):
    """Changed weight of a tier in the active CFS plan."""

    weight = WholeNumberField(required=False, min_value=1, max_value=MOST_WEIGHT)


class WhatIfRequestSerializer(StrictSerializer):
    """What-if question: the changed settings; omitted settings keep their present values."""

    pool = TextField(required=False, max_length=40, help_text="Absent: the pool that serves most queues.")
    plans = NamedField(child=WhatIfPlanChangeSerializer(), required=False, help_text="By slug.")
    tenants = NamedField(child=TenantChangeSerializer(), required=False, help_text="By slug.")
    queues = NamedField(child=QueueChangeSerializer(), required=False, help_text="By name.")
    tiers = NamedField(child=TierChangeSerializer(), required=False, help_text="By slug.")
    strategy = serializers.ChoiceField(required=False, choices=list(POLICIES))
    granularity_seconds = WholeNumberField(required=False, min_value=1, max_value=86_400)
    slots = WholeNumberField(required=False, min_value=0, max_value=MOST_SLOTS)

    @property
    def change(self) -> Change:
        """Return the changed settings as the input of the replay."""
        asked = self.validated_data
        return Change(
            plan_weights=_pick(asked, "plans", "weight"),
            plan_caps=_pick(asked, "plans", "max_concurrency"),
            tenant_factors=_pick(asked, "tenants", "factor"),
            tenant_caps=_pick(asked, "tenants", "max_concurrency"),
            queue_weights=_pick(asked, "queues", "weight"),
            queue_caps=_pick(asked, "queues", "cap"),
            tier_weights=_pick(asked, "tiers", "weight"),
            policy=POLICIES[asked["strategy"]] if "strategy" in asked else None,
            granularity_seconds=asked.get("granularity_seconds"),
            slots=asked.get("slots"),
        )


def _pick(asked: Mapping[str, Any], group: str, field: str) -> dict[str, Any]:
    return {name: terms[field] for name, terms in asked.get(group, {}).items() if field in terms}


class OutcomeSerializer(serializers.Serializer[ProjectedShare]):
    """Service that a plan or tenant receives in the replay.

    A job that has not started counts with its wait until the end.
    """

    worker_seconds = serializers.FloatField()
    share = serializers.FloatField(help_text="Part of the pool's busy time, from 0 to 1.")
    starts = serializers.IntegerField()
    unstarted = serializers.IntegerField()
    wait_p50_seconds = serializers.FloatField(allow_null=True)
    wait_p95_seconds = serializers.FloatField(allow_null=True)


class LineSerializer(serializers.Serializer[ComparedShare]):
    """Replayed service of a plan or tenant, with the present settings and with the changed ones."""

    name = serializers.CharField(help_text="Slug of the plan or of the tenant.")
    plan = serializers.CharField()
    now = OutcomeSerializer()
    after = OutcomeSerializer()
    lost_seconds = serializers.FloatField(help_text="Worker time lost; negative: gained.")
    later_seconds = serializers.FloatField(help_text="By how much the 95th percentile of the wait grows.")
    is_loser = serializers.BooleanField()


class TotalsSerializer(serializers.Serializer[Totals]):
    """Totals of the pool in one replay."""

    worker_seconds = serializers.FloatField()
    busy_part = serializers.FloatField(help_text="Part of all slot time, from 0 to 1.")
    starts = serializers.IntegerField()
    unstarted = serializers.IntegerField()
    jain = serializers.FloatField(
        help_text="Jain's index of worker time over the share by weights and demand; 1 is fair."
    )


class NoteSerializer(serializers.Serializer[Note]):
    """Limitation of the result, such as a sampled workload."""

    code = serializers.CharField(
        help_text="`no_arrivals`, `few_starts`, `sampled`, `no_slots`, `other_pools` or `predicted_costs`."
    )
    text = serializers.CharField()


class WhatIfSerializer(serializers.Serializer[WhatIf]):
    """Result of a what-if question; nothing in the platform is changed."""

    pool = serializers.CharField()
    seconds = serializers.FloatField(help_text="Length of the replayed time.")
    arrivals = serializers.IntegerField(help_text="Jobs that arrived, waited or ran.")
    picks = serializers.IntegerField(help_text="Decisions simulated, both sides together.")
    now = TotalsSerializer()
    after = TotalsSerializer()
    plans = LineSerializer(many=True)
    tenants = LineSerializer(many=True, help_text="The ten most affected.")
    losers = LineSerializer(many=True, help_text="Largest loss first; ten at most.")
    notes = NoteSerializer(many=True)


class WhatIfViewSet(StaffViewSet):
    """What-if questions, which change nothing in the platform."""

    model = CFSPlan
    serializer_class = WhatIfSerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions = {"ask": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[dict[str, int]] = {"ask": HEAVY}

    @extend_schema(operation_id="cfs_plans_what_if", request=WhatIfRequestSerializer, responses=WhatIfSerializer)
    def ask(self, request: Request) -> Response:
        """Replay the last hour, and the jobs that wait and run now, with the present and with changed settings.

        Nothing is changed. Needs the permission `platform.view`.
        """
        body = WhatIfRequestSerializer.of(request.data)
        answer = answer_what_if(body.change, pool=body.validated_data.get("pool"))
        return Response(WhatIfSerializer(answer).data)
