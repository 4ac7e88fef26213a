"""Backlog races: the backlog moves beside all other transitions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from scheduling.bulk import reroute
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import (
    CFSPlan,
    Job,
    LiveExecution,
    WorkerPool,
)
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.backlog import (
    activate,
    assert_nothing_is_lost,
    move_all,
    move_turn,
    places,
    queues_of,
)
from tests.integration.scheduling.job_helpers import complete, fail, in_flight, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_lock_timeout", "no_settle_delay")]


@pytest.mark.parametrize("seed", range(4))
def test_random_interleavings_lose_nothing(
    acme: Tenant,
    globex: Tenant,
    pool: WorkerPool,
    worker: Registration,
    start: Any,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Submit, tick, cancel, suspend, fail and switch the edition on four connections at once."""
    monkeypatch.setattr(reroute, "MOVE_ROWS", 11)
    jobs = [*submit(acme, 120), *submit(globex, 60)]
    acts: list[Callable[[random.Random], object]] = [
        lambda dice: submit(dice.choice([acme, globex]), dice.randint(1, 9), fair_key=dice.choice(["", "ada", "bob"])),
        lambda dice: run_tick(pool.pk),
        lambda dice: move_turn(),
        lambda dice: move_turn(),
        lambda dice: _act_on(dice, jobs, acme, cancel_job),
        lambda dice: _act_on(dice, jobs, acme, suspend_job),
        lambda dice: _act_on(dice, jobs, acme, resume_job),
        lambda dice: activate(dice.choice(["community", "cloud"])),
        lambda dice: _end_one(dice, start),
    ]

    def go(number: int) -> None:
        dice = random.Random(seed * 10 + number)
        try:
            for _ in range(30):
                dice.choice(acts)(dice)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(go, range(4)))
    move_all()
    assert_nothing_is_lost(pool)
    with all_tenants():
        tiers = dict(CFSPlan.objects.get(is_active=True).tiers.values_list("tier_id", "queue__name"))
        waiting = Job.objects.filter(state__in=[JobState.AVAILABLE, JobState.SUSPENDED], execution_count=0)
        found = set(waiting.values_list("tenant__plan__tier_id", "queue__name"))
    assert found <= set(tiers.items())


def _act_on(dice: random.Random, jobs: list[Job], tenant: Tenant, act: Callable[..., object]) -> None:
    with tenant_context(tenant):
        try:
            act(job_id=dice.choice(jobs[:120]).pk)
        except DomainError:
            return


def _end_one(dice: random.Random, start: Any) -> None:
    flying = in_flight()
    if not flying:
        return
    job = dice.choice(flying)
    try:
        (complete if dice.random() < 0.5 else fail)(start, job)
    except (AssertionError, LiveExecution.DoesNotExist):
        return  # another thread was faster


def test_thousands_of_jobs_move_there_and_back(acme: Tenant, globex: Tenant, pool: WorkerPool) -> None:
    jobs = [job for tenant in (acme, globex) for _ in range(3) for job in submit(tenant, 1_000)]
    for name, queues in (
        ("community", {"tasks": 6_000}),
        ("cloud", {"tasks_team": 3_000, "tasks_sandbox": 3_000}),
    ):
        activate(name)
        assert move_all() == 6_000
        assert queues_of(jobs) == queues
    run_tick(pool.pk)
    assert faults_of("counters", "ready") == []
    assert Counter(places().values()) == {1: 6_000}
