"""The one measure of shares in simulated time: what the overview, the explorer, the API and the metrics read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import (
    FairShareNode,
    RollupClock,
    ShareMinute,
    TenantCapacity,
    TenantGauge,
    TenantMinute,
    Worker,
)
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.shares.verdicts import EntitlementState
from scheduling.statistics.gauges import sample_gauges
from scheduling.statistics.histogram import BUCKETS
from scheduling.stops.pauses import pause_queue
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant, TenantUsage
from tenants.tenancy.service import create_tenant
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import queue_named
from tests.integration.console.shares import a_whole_minute_ago, demand, note
from tests.share_minutes import SimulatedPool, by_name

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
BELOW = EntitlementState.BELOW
SECONDS = 5


class StoredPool:
    """A simulated pool whose minutes are stored as a dispatcher's samples and rollups are."""

    def __init__(self, pool: SimulatedPool, names: str) -> None:
        self.pool, self.queue_id = pool, queue_named("tasks").pk
        self.begin = read_clock().replace(second=0, microsecond=0) - timedelta(minutes=20)
        self.tenants = {name: create_tenant(slug=f"share-{name}", name=name, plan="team") for name in names}
        for tenant in self.tenants.values():
            node = demand(tenant)
            FairShareNode.objects.filter(pk=node.pk).update(estimate_us=SECONDS * 1_000_000)

    @property
    def now(self) -> datetime:
        return self.begin + timedelta(seconds=self.pool.at)

    def step(self) -> None:
        self.pool.step()
        at = self.pool.at - 1
        for name in self.pool.lines:
            key = (name, at // 60)
            values: dict[str, Any] = {"wait": [0] * BUCKETS, "run": [0] * BUCKETS}
            place: dict[str, Any] = {
                "tenant": self.tenants[name],
                "minute": self.begin + timedelta(minutes=key[1]),
                "queue_id": self.queue_id,
            }
            TenantMinute.objects.update_or_create(**place, defaults=values | {"busy_us": self.pool.used[key]})
            if self.pool.sampled_at == self.pool.at and key in self.pool.entitled:
                sampled = {"entitled_us": self.pool.entitled[key], "backlogged_us": self.pool.backlogged[key]}
                ShareMinute.objects.update_or_create(**place, defaults=sampled)
        sampled_at = self.begin + timedelta(seconds=self.pool.sampled_at)
        RollupClock.objects.update(shares_sampled_at=sampled_at)

    def verdicts(self) -> dict[str, EntitlementState]:
        history = read_share_history(HistorySpan.RECENT, now=self.now)
        assert history.starving == sum(line.verdict is BELOW for line in history.lines)
        return {line.name: line.verdict for line in history.lines}


def test_no_sample_of_a_fair_pool_is_red() -> None:
    """A tenant ran alone; five come at once, the weight of one is changed, another is paused and resumed."""
    with all_tenants():
        stored = StoredPool(SimulatedPool(4), "abcdef")
        pool = stored.pool
        seen: list[dict[str, EntitlementState]] = []
        pool.submit("a", 10_000, seconds=SECONDS)
        for _ in range(97):
            stored.step()
        for name in "bcdef":
            pool.submit(name, 2_000, seconds=SECONDS)
        for second in range(300):
            pool.lines["b"].weight = 8.0 if second >= 90 else 1.0
            if second in (150, 210):
                pool.lines["c"].is_paused = second == 150
                Tenant.objects.filter(pk=stored.tenants["c"].pk).update(is_paused=second == 150)
            if second == 210:
                pool.resume("c")
            stored.step()
            seen.append(stored.verdicts())
    assert [(second, found) for second, found in enumerate(seen) if BELOW in found.values()] == []
    assert {found["c"] for found in seen[155:205]} == {EntitlementState.PAUSED}
    assert set(seen[-1].values()) == {EntitlementState.FAIR}


def test_unfair_order_is_red_within_a_minute() -> None:
    with all_tenants():
        stored = StoredPool(SimulatedPool(4, order=by_name), "ab")
        stored.pool.submit("a", 10_000, seconds=SECONDS)
        for _ in range(67):
            stored.step()
        stored.pool.submit("b", 100, seconds=SECONDS)
        seen = []
        for _ in range(60):
            stored.step()
            seen.append(stored.verdicts().get("b"))
    assert seen[-1] is BELOW
    assert BELOW not in seen[:45]


def words_of(console: Console, user: User) -> str:
    page = console(user).get(reverse("admin:overview_shares")).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def verdict_of(tenant: Tenant) -> EntitlementState:
    sample_gauges()
    with all_tenants():
        lines = read_share_history(HistorySpan.RECENT).lines
        return next(line.verdict for line in lines if line.tenant_id == tenant.pk)


def test_stop_of_a_tenant_with_waiting_jobs_is_its_verdict(
    console: Console, staff: User, acme: Tenant, live_worker: Worker
) -> None:
    with all_tenants():
        node = demand(acme, waiting=20)
    assert verdict_of(acme) is EntitlementState.IDLE
    stops: list[tuple[dict[str, Any], EntitlementState]] = [
        ({"is_draining": True}, EntitlementState.DRAINING),
        ({"is_paused": True}, EntitlementState.PAUSED),
        ({"status": "suspended"}, EntitlementState.SUSPENDED),
    ]
    for values, expected in stops:
        with all_tenants():
            Tenant.objects.filter(pk=acme.pk).update(**values)
            FairShareNode.objects.filter(pk=node.pk).update(is_runnable=False)
        assert verdict_of(acme) is expected
    words = words_of(console, staff)
    assert "20 waiting" in words
    assert "suspended" in words
    assert "no backlog" not in words


def test_cap_and_worker_time_are_verdicts(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme)
        TenantCapacity.objects.update_or_create(tenant=acme, defaults={"in_flight": acme.concurrency_cap})
    assert verdict_of(acme) is EntitlementState.AT_CAP
    with all_tenants():
        month = read_clock().date().replace(day=1)
        TenantUsage.objects.create(tenant=acme, key=WORKER_SECONDS.key, period=month, amount=10**15)
    assert verdict_of(acme) is EntitlementState.OUT_OF_WORKER_TIME


def test_tenant_that_waits_in_a_paused_queue_is_paused(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme)
        pause_queue(queue=queue_named("tasks"), reason="disk is full")
    assert verdict_of(acme) is EntitlementState.PAUSED


def test_wait_is_shown_only_beside_waiting_jobs(
    console: Console, staff: User, acme: Tenant, live_worker: Worker
) -> None:
    with all_tenants():
        node = demand(acme)
        note(acme, a_whole_minute_ago(), used=1.0, entitled=1.0)
    sample_gauges()
    with all_tenants():
        TenantGauge.objects.filter(tenant=acme).update(oldest_at=read_clock() - timedelta(seconds=90))
    assert "oldest wait 1 min" in words_of(console, staff)
    with all_tenants():
        # The jobs started after the gauge was sampled.
        FairShareNode.objects.filter(pk=node.pk).update(waiting=0)
    words = words_of(console, staff)
    assert "0 waiting" in words
    assert "oldest wait" not in words
