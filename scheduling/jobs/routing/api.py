"""`routing-rules/`: the rules, and `test/`: which queue a hypothetical job would go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer, page_response
from scheduling.conf import MAX_TAGS
from scheduling.jobs.requests import MAX_TAG_CHARACTERS
from scheduling.jobs.routing.strategies import MAX_NAME_CHARACTERS
from scheduling.jobs.routing.trials import RouteTrial, try_route
from scheduling.models import Queue, RoutingRule
from scheduling.regions.rules import Residency
from scheduling.topology.service import MAX_WEIGHT, create_routing_rule, update_routing_rule
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, StrictSerializer, WholeNumberField
from tenants.api.viewsets import StaffViewSet
from tenants.database.reads import first_or_raise
from tenants.exceptions import AddressUnknownError, FieldInvalidError
from tenants.limits.declared import HEAVY
from tenants.plans.service import find_tier
from tenants.tenancy.regions import MOST_REGIONS, REGION_LENGTH


class RouteQuestionSerializer(StrictSerializer):
    """A hypothetical job, to be routed without being submitted."""

    kind = NameField(max_length=64)
    tier = NameField(max_length=50, help_text="Its slug.")
    payload = serializers.DictField(required=False, default=dict)
    home_region = NameField(max_length=REGION_LENGTH, required=False, allow_blank=True, default="")
    allowed_regions = serializers.ListField(
        child=NameField(max_length=REGION_LENGTH), required=False, default=list, max_length=MOST_REGIONS
    )
    queue = NameField(
        max_length=60, required=False, allow_null=True, default=None, help_text="The queue that the tenant requests."
    )
    tags = serializers.ListField(
        child=NameField(max_length=MAX_TAG_CHARACTERS), required=False, default=list, max_length=MAX_TAGS
    )


class RuleVerdictSerializer(serializers.Serializer[object]):
    """Whether a rule matches the job, and the reason if not."""

    position = serializers.IntegerField(source="rule.position")
    rule = serializers.CharField(help_text="The rule as text: its position, kind and target.")
    matches = serializers.BooleanField()
    because = serializers.CharField(help_text="Why it does not match; empty if it does.")


class StrategyChoiceSerializer(serializers.Serializer[object]):
    """The choice of a routing strategy, as the first event of the job would have it."""

    strategy = serializers.CharField()
    reason = serializers.CharField(default="", help_text="As the strategy states it, or a detail of the cause.")
    fallback = serializers.CharField(default="", help_text="The balance that chose in its place; empty if it chose.")
    cause = serializers.CharField(default="", help_text="Why the strategy did not choose.")


class RouteAnswerSerializer(serializers.Serializer[RouteTrial]):
    """The queue of the job, and for each evaluated rule whether it matches."""

    queue = serializers.CharField(allow_null=True, help_text="Null if the job would be refused.")
    refusal = serializers.CharField(help_text="Error code of the refusal; empty without one.")
    detail = serializers.CharField()
    choices = serializers.ListField(
        child=serializers.CharField(), help_text="Possible queues: by the rule, or by the tenant's choice."
    )
    choice = serializers.SerializerMethodField(help_text="Null if no strategy was to choose.")
    rules = RuleVerdictSerializer(many=True)

    @extend_schema_field(StrategyChoiceSerializer(allow_null=True))
    def get_choice(self, trial: RouteTrial) -> dict[str, Any] | None:
        return dict(StrategyChoiceSerializer(trial.choice).data) if trial.choice else None


class RoutingTrialViewSet(StaffViewSet):
    """Evaluation of the current routing rules for a hypothetical job."""

    model = RoutingRule
    serializer_class = RouteAnswerSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"test": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"test": HEAVY}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="routing_rules_test", request=RouteQuestionSerializer)
    def test(self, request: Request) -> Response:
        """Return the queue that a job would go to, the rule that decides it, and why earlier rules do not match.

        Nothing is stored.
        """
        given = RouteQuestionSerializer.of(request.data).validated_data
        residency = Residency(given.pop("home_region"), tuple(given.pop("allowed_regions")))
        trial = try_route(**given, residency=residency)
        return Response(RouteAnswerSerializer(trial).data)


class RoutingRuleSerializer(serializers.Serializer[RoutingRule]):
    """A routing rule. Of all rules that match a job, the one with the lowest position applies."""

    position = serializers.IntegerField()
    kind = serializers.CharField(help_text="Empty: every kind.")
    tier = serializers.CharField(source="tier_id", allow_null=True, help_text="Null: every tier.")
    region = serializers.CharField(help_text="Home region of the tenants that it is for; empty: every tenant.")
    condition = serializers.JSONField(help_text="On the payload; null: none.")
    queue = serializers.CharField(source="queue.name", default=None, allow_null=True)
    by_tier = serializers.BooleanField(help_text="To the queue that the active CFS plan names for the tier.")
    balance = serializers.CharField(
        help_text="`weighted`, `least_loaded`, `nearest` or a strategy's name, over `targets`; empty: one queue."
    )
    targets = serializers.SerializerMethodField(help_text="Weights by the names of the queues to balance over.")
    allows_queue_choice = serializers.BooleanField(help_text="Whether a tenant may choose one of the kind's queues.")
    is_active = serializers.BooleanField()

    def get_targets(self, rule: RoutingRule) -> dict[str, int]:
        return {target.queue.name: target.weight for target in rule.targets.all()}


class RuleRequestSerializer(StrictSerializer):
    """Request to add a routing rule, or to change some of its fields; `targets` replaces all queues to balance over."""

    position = WholeNumberField(min_value=0, max_value=2**31 - 1)
    kind = NameField(max_length=64, required=False, allow_blank=True)
    tier = NameField(max_length=50, required=False, allow_null=True)
    region = NameField(max_length=REGION_LENGTH, required=False, allow_blank=True)
    condition = serializers.JSONField(required=False, allow_null=True)
    queue = NameField(max_length=60, required=False, allow_null=True)
    by_tier = serializers.BooleanField(required=False)
    balance = NameField(max_length=MAX_NAME_CHARACTERS, required=False, allow_blank=True)
    targets = serializers.DictField(child=WholeNumberField(min_value=1, max_value=MAX_WEIGHT), required=False)
    allows_queue_choice = serializers.BooleanField(required=False)
    is_active = serializers.BooleanField(required=False)
    reason = NameField(max_length=500, required=False, allow_blank=True)

    def read(self) -> tuple[dict[str, Any], dict[int, int] | None, str]:
        """Return the values of the rule's fields, the weights of its queues by id if given, and the reason."""
        values = dict(self.validated_data)
        reason, targets = values.pop("reason", ""), values.pop("targets", None)
        if values.get("tier") is not None:
            values["tier"] = find_tier(values["tier"])
        if values.get("queue") is not None:
            values["queue"] = _find_queue(values["queue"])
        weights = None if targets is None else {_find_queue(name).pk: weight for name, weight in targets.items()}
        return values, weights, reason


def _find_queue(name: str) -> Queue:
    rows = Queue.objects.filter(name=name)
    return first_or_raise(rows, FieldInvalidError("queue: There is no queue %(name)r.", {"name": name[:60]}))


class RoutingRuleViewSet(EditedRows, StaffViewSet):
    """Routing rules by their positions; a change applies to submissions, not to jobs that wait."""

    model = RoutingRule
    serializer_class = RoutingRuleSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "retrieve": Permission.PLATFORM_VIEW,
        "create": Permission.FAIRNESS_MANAGE,
        "partial_update": Permission.FAIRNESS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = []
    orderings = ("position",)
    asked_ordering = "position"
    lookup_field = "position"
    lookup_value_regex = "[0-9]{1,10}"

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("queue").prefetch_related("targets__queue")

    @extend_schema(operation_id="routing_rules_list", responses=RoutingRuleSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the rules in the order in which they are evaluated."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, self.get_queryset(), RoutingRuleSerializer)

    @extend_schema(operation_id="routing_rules_retrieve")
    def retrieve(self, request: Request, position: str) -> Response:
        """Return a rule."""
        return self._answer(self._find(position))

    @extend_schema(
        operation_id="routing_rules_create", request=RuleRequestSerializer, responses={201: RoutingRuleSerializer}
    )
    def create(self, request: Request) -> Response:
        """Add a rule, which applies to jobs submitted from now on."""
        values, targets, reason = RuleRequestSerializer.of(request.data).read()
        rule = create_routing_rule(values=values, targets=targets, reason=reason)
        return self._answer(rule, status=201)

    @extend_schema(operation_id="routing_rules_update", request=RuleRequestSerializer)
    def partial_update(self, request: Request, position: str) -> Response:
        """Change a rule; jobs that wait stay in their queues until a reroute moves them."""
        changes, targets, reason = RuleRequestSerializer.of(request.data, partial=True).read()
        rule = self.begin_edit(lambda: self._find(position))
        return self._answer(update_routing_rule(rule=rule, changes=changes, targets=targets, reason=reason))

    def _find(self, position: str) -> RoutingRule:
        row: RoutingRule = first_or_raise(
            self.get_queryset().filter(position=int(position)),
            AddressUnknownError("There is no routing rule at this position."),
        )
        return row

    def _answer(self, rule: RoutingRule, *, status: int = 200) -> Response:
        shown = self.get_queryset().get(pk=rule.pk)
        return Response(RoutingRuleSerializer(shown).data, status=status, headers=etag_headers(shown))
