"""The scenario of a what-if: a pool with its weights, caps and work, before and after a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from scheduling.fairness.lab.terms import Arrivals, EntityShape, OrderPolicy, QueueShape, Rules, TreeShape
from scheduling.fairness.nodes import MILLI

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """The weight and the cap that a plan gives its tenants."""

    weight: float
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class TenantTerms:
    """A tenant's plan, the factor on its weight, and its own cap; ``max_concurrency`` None: the plan's cap."""

    slug: str
    plan: str
    factor: float = 1.0
    max_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class QueueTerms:
    """A queue with its own weight and cap; ``cap`` None: no cap."""

    name: str
    weight: float = 1
    cap: int | None = None
    expected_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class TierTerms:
    """The queue to which the CFS plan assigns a tier, and that queue's weight."""

    queue: str
    weight: int


@dataclass(frozen=True, slots=True)
class PoolScenario:
    """A pool and its work; the first ``running`` arrivals use slots at the start.

    ``places`` are the pairs (queue, tenant) by number, as ``arrivals.entity`` counts them. Each arrival represents
    ``stands_for`` real ones, and costs as much as they. ``known`` marks the places with exactly predicted costs; if
    empty, ``arrivals`` has the predictions. ``turnaround_us`` is the time from dispatch to start of jobs that cost at
    least ``small_us``.
    """

    pool: str
    slots: int
    policy: OrderPolicy
    granularity_seconds: int
    queues: Sequence[QueueTerms]
    plans: Mapping[str, PlanTerms]
    tenants: Sequence[TenantTerms]
    tiers: Mapping[str, TierTerms]
    places: Sequence[tuple[int, int]]
    arrivals: Arrivals
    seconds: float
    running: int = 0
    stands_for: int = 1
    known: Sequence[bool] = ()
    turnaround_us: int = 0
    small_us: int = 0

    def shape(self) -> TreeShape:
        """Return the tree of the pool with its weights and caps."""
        weights = [self.plans[tenant.plan].weight * tenant.factor for tenant in self.tenants]
        return TreeShape(
            queues=[self._queue_shape(queue) for queue in self.queues],
            caps=[self.cap_of(tenant) for tenant in self.tenants],
            entities=[
                EntityShape(queue, tenant, max(1, round(weights[tenant] * MILLI))) for queue, tenant in self.places
            ],
        )

    def _queue_shape(self, queue: QueueTerms) -> QueueShape:
        weight_milli = max(1, round(self.queue_weight(queue) * MILLI))
        return QueueShape(weight_milli, inf if queue.cap is None else queue.cap, self._is_fifo)

    def rules(self) -> Rules:
        """Return the rules of the replay; caps are respected under every strategy of the platform."""
        policy = OrderPolicy.CFS if self._is_fifo else self.policy
        return Rules(
            slots=self.slots,
            policy=policy,
            granularity_us=self.granularity_seconds * SECOND_US,
            until_us=round(self.seconds * SECOND_US),
            turnaround_us=self.turnaround_us * self.stands_for,
            small_us=self.small_us * self.stands_for,
        )

    def queue_weight(self, queue: QueueTerms) -> float:
        """Return the weight that the CFS plan gives the queue, or else the queue's own weight."""
        by_plan = [tier.weight for tier in self.tiers.values() if tier.queue == queue.name]
        return max(by_plan, default=queue.weight)

    def cap_of(self, tenant: TenantTerms) -> int:
        """Return how many jobs of the tenant may be in flight at once."""
        own = tenant.max_concurrency
        return self.plans[tenant.plan].max_concurrency if own is None else own

    @property
    def _is_fifo(self) -> bool:
        """Return whether FIFO queues share by weight, with caps, as under the strategy `nop`."""
        return self.policy in {OrderPolicy.FIFO, OrderPolicy.CAP}


class UnknownNameError(ValueError):
    """The error for a change that names a plan, tenant, queue or tier that the scenario does not have."""

    def __init__(self, field_name: str, name: str) -> None:
        self.field = field_name
        self.name = name
        super().__init__(f"{field_name}: there is no {name!r} in this pool's load")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of weights, caps and other terms; what it does not name stays. A cap of None removes the cap."""

    plan_weights: Mapping[str, float] = field(default_factory=dict)
    plan_caps: Mapping[str, int] = field(default_factory=dict)
    tenant_factors: Mapping[str, float] = field(default_factory=dict)
    tenant_caps: Mapping[str, int | None] = field(default_factory=dict)
    queue_weights: Mapping[str, int] = field(default_factory=dict)
    queue_caps: Mapping[str, int | None] = field(default_factory=dict)
    tier_weights: Mapping[str, int] = field(default_factory=dict)
    policy: OrderPolicy | None = None
    granularity_seconds: int | None = None
    slots: int | None = None


def apply_change(load: PoolScenario, change: Change) -> PoolScenario:
    """Return a copy of the scenario with the same work and the changed terms; raise UnknownNameError."""
    _check_names(load, change)
    return replace(
        load,
        slots=load.slots if change.slots is None else change.slots,
        policy=change.policy or load.policy,
        granularity_seconds=change.granularity_seconds or load.granularity_seconds,
        plans={
            slug: PlanTerms(
                change.plan_weights.get(slug, terms.weight), change.plan_caps.get(slug, terms.max_concurrency)
            )
            for slug, terms in load.plans.items()
        },
        tenants=[
            replace(
                tenant,
                factor=change.tenant_factors.get(tenant.slug, tenant.factor),
                max_concurrency=change.tenant_caps.get(tenant.slug, tenant.max_concurrency),
            )
            for tenant in load.tenants
        ],
        queues=[
            replace(
                queue,
                weight=change.queue_weights.get(queue.name, queue.weight),
                cap=change.queue_caps.get(queue.name, queue.cap),
            )
            for queue in load.queues
        ],
        tiers={
            slug: TierTerms(tier.queue, change.tier_weights.get(slug, tier.weight)) for slug, tier in load.tiers.items()
        },
    )


def _check_names(load: PoolScenario, change: Change) -> None:
    tenants = {tenant.slug for tenant in load.tenants}
    queues = {queue.name for queue in load.queues}
    known: Mapping[str, set[str]] = {
        "plan_weights": set(load.plans),
        "plan_caps": set(load.plans),
        "tenant_factors": tenants,
        "tenant_caps": tenants,
        "queue_weights": queues,
        "queue_caps": queues,
        "tier_weights": set(load.tiers),
    }
    for field_name, names in known.items():
        for name in getattr(change, field_name):
            if name not in names:
                raise UnknownNameError(field_name, name)
