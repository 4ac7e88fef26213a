"""The dispatcher beside the pure model: equal picks in equal order, and equal clocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.dispatch import tick as tick_module
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import CFSPlan, PoolClock, Queue, RoutingRule, Worker, WorkerPool
from scheduling.priority_rules.rules import Effect
from scheduling.topology.service import create_routing_rule
from tenants.context import all_tenants
from tenants.tenancy.service import create_tenant
from tests import fair_model_mutants as bugs
from tests.fair_model import Model
from tests.integration.scheduling.job_helpers import Tick
from tests.integration.scheduling.random_walk_against_model import ModelledWalk
from tests.moved_lines import MovesKinds
from tests.platform_settings import ChangePlatformSettings
from tests.predictions import predict

pytestmark = pytest.mark.django_db

STEPS = 200
MOST_STEPS = 500
PLANS = ("team", "sandbox", "team", "professional", "sandbox", "team", "professional")
OFFSETS = {"sleep": 30, "allocate": -10}
COSTS = {"noop": 250_000, "sleep": 400_000, "allocate": 2_000_000}
ORDERS: Mapping[str, dict[str, Any]] = {
    "fair": {"strategy": CFSPlan.Strategy.TIME_SLICE, "reserved_slots": 0},
    "fair with a reserve": {"strategy": CFSPlan.Strategy.TIME_SLICE, "reserved_slots": 1},
    "by arrival": {"strategy": CFSPlan.Strategy.NOP, "reserved_slots": 0},
}
# A walk continues for a while until these situations have occurred.
SIGHTS = {
    "a queue at its cap",
    "a queue without tokens",
    "a tenant at its cap",
    "more tenants than are read",
    "a tenant in two queues",
    "a slot that is being settled",
}

type Walks = Callable[..., ModelledWalk]


@pytest.fixture
def walk(worker: Registration, pool: WorkerPool, tick: Tick, change_platform_settings: ChangePlatformSettings) -> Walks:
    """Return a function that makes a walk with a model, over three queues by kind, one of them in its own pool."""
    change_platform_settings(CIRCUIT_FAILURES=0)
    other = WorkerPool.objects.get(name="maintenance")
    shared = Queue.objects.get(name="tasks")
    register_worker(pool_name=other.name, hostname="test", pid=2, slots=3)
    with all_tenants():
        Queue.objects.filter(pk=shared.pk).update(pool=other)
        beside = Queue.objects.get(name="pipeline")
        for position, kind, queue in [(1, "sleep", shared), (2, "allocate", beside)]:
            create_routing_rule(values={"position": position, "kind": kind, "queue": queue, "is_active": True})
        PoolClock.objects.update(ticked_at=Now())
        Worker.objects.update(heartbeat_at=Now() + timedelta(hours=1))
    for kind, cost_us in COSTS.items():
        predict(kind, cost_us)
    tenants = [create_tenant(slug=f"tenant-{n}", name=f"Tenant {n}", plan=plan) for n, plan in enumerate(PLANS)]

    def make(kind: type[Model], seed: int, **plan_fields: Any) -> ModelledWalk:
        walk = ModelledWalk(kind, [pool.pk, other.pk], plan_fields, seed, tenants, tick, worker)
        walk.edit_plan()
        return walk

    return make


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("order", ORDERS)
def test_dispatcher_picks_as_the_model_does(walk: Walks, order: str, seed: int) -> None:
    going = walk(Model, seed, **ORDERS[order])
    assert going.go(STEPS, until=SIGHTS, most=MOST_STEPS) == []
    assert going.claimed > 0


@pytest.fixture
def moved(walk: Walks, monkeypatch: pytest.MonkeyPatch) -> Walks:
    """Return a function that makes a walk in which lines have jobs of several kinds, which rules move."""
    with all_tenants():
        RoutingRule.objects.filter(kind__in=OFFSETS).update(is_active=False)
    effects = [Effect(kind, kind, None, None, seconds) for kind, seconds in OFFSETS.items()]
    monkeypatch.setattr(tick_module, "acting_effects", lambda pool_id: effects)
    monkeypatch.setattr(MovesKinds, "offsets", {kind: seconds * 10**6 for kind, seconds in OFFSETS.items()})
    return walk


@pytest.mark.parametrize("seed", range(2))
def test_dispatcher_picks_as_the_model_does_while_rules_move_jobs(moved: Walks, seed: int) -> None:
    going = moved(MovesKinds, seed, **ORDERS["fair"])
    assert going.go(STEPS) == []
    assert going.claimed > 0


def test_model_without_moves_differs_while_rules_move_jobs(moved: Walks) -> None:
    assert moved(Model, 0, **ORDERS["fair"]).go(2 * MOST_STEPS)


@pytest.mark.parametrize(
    "bug",
    [
        bugs.GivesCredit,
        bugs.ForgetsCorrections,
        bugs.IgnoresWeights,
        bugs.IgnoresQueueWeights,
        bugs.ForgetsCorrectionsOfQueues,
        bugs.LeavesASlotIdle,
        bugs.WaitsForSettlements,
    ],
)
def test_wrong_model_differs_from_the_dispatcher(walk: Walks, bug: type[Model]) -> None:
    assert walk(bug, 0, **ORDERS["fair"]).go(2 * MOST_STEPS)
