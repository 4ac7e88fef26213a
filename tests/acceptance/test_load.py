"""Load states follow real waits, and jobs are shed by rule in front of real processes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.load.exceptions import OverloadedError
from scheduling.load.models import LoadState, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.service import force_level
from scheduling.models import KindCost, LiveExecution, Worker
from tenants.context import all_tenants, tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.models import Tenant
from tests.acceptance.conftest import SLOTS, Platform
from tests.acceptance.helpers import submit, wait_for_all
from tests.acceptance.processes import eventually


@pytest.fixture(autouse=True)
def unknown_cost(platform: Platform) -> None:
    """Forget that jobs of other tests were short: such jobs share messages, and so slots.

    The platform is idle by now; whatever it settles later would be learned again.
    """
    with all_tenants():
        KindCost.objects.filter(kind="sleep").delete()


def level_of(scope: str) -> Level:
    with all_tenants():
        return Level(LoadState.objects.values_list("level", flat=True).get(scope=scope))


def is_measured() -> bool:
    with all_tenants():
        return LoadState.objects.filter(scope="pool:default").exists()


def known_slots() -> int:
    """Return the slots that the dispatcher fills; a killed worker's are among them until its lease is over."""
    alive_since = timezone.now() - timedelta(seconds=platform_settings.LEASE_SECONDS)
    with all_tenants():
        workers = Worker.objects.filter(status="online", pool__name="default", heartbeat_at__gt=alive_since)
        return sum(workers.values_list("slots", flat=True))


def count_executing(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return LiveExecution.objects.filter(started_at__isnull=False).count()


def test_pool_is_busy_while_entitled_jobs_wait_and_normal_afterwards(
    platform: Platform, acme: Tenant, globex: Tenant
) -> None:
    eventually(is_measured, within=60, what="the load is measured")
    eventually(lambda: known_slots() == SLOTS, within=60, what="only the shared worker is known")
    blocking = submit(acme, "sleep", *[{"seconds": 300}] * SLOTS)
    try:
        eventually(lambda: count_executing(acme) == SLOTS, within=60, what="all slots are in use")
        waiting = submit(globex, "sleep", {"seconds": 0})
        eventually(lambda: level_of("pool:default") >= Level.BUSY, within=120, what="the pool is busy")
    finally:
        with tenant_context(acme):
            for job in blocking:
                cancel_job(job_id=job.pk, reason="the pool was busy for long enough")
    wait_for_all(waiting, within=120)
    eventually(lambda: level_of("pool:default") is Level.NORMAL, within=120, what="the pool is normal")


def test_forced_state_refuses_the_tier_of_the_rule_and_nothing_else(platform: Platform, acme: Tenant) -> None:
    eventually(is_measured, within=60, what="the load is measured")
    with all_tenants():
        rule = SheddingRule.objects.create(
            name="test", position=1, from_level=Level.OVERLOADED, action="refuse", tier=acme.plan.tier, kind="noop"
        )
    force_level(scope="pool:default", level=Level.OVERLOADED, reason="rehearsal")
    try:

        def is_refused() -> bool:
            try:
                submit_job(tenant=acme, request=JobRequest(kind="noop"), is_rate_limited=True)
            except OverloadedError:
                return True
            return False

        eventually(is_refused, within=60, what="a job is refused")
        wait_for_all(submit(acme, "sleep", {"seconds": 0}), within=60)
    finally:
        force_level(scope="pool:default", level=Level.NORMAL, reason="over")
        with all_tenants():
            rule.delete()
