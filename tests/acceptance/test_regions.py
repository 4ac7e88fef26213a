"""Workers of a region behind a slow link that is cut: jobs of a pinned tenant wait for it, and run nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.utils import timezone

from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Execution, Job, QueueStanding, Worker
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.proxy import Proxy
from tests.acceptance.serving import is_ready
from tests.databases import TestDatabase

ROUND_TRIP_SECONDS = 0.08
FAR, NEAR = "far-region", "near-region"


@dataclass
class Link:
    """The link between a region and PostgreSQL and the broker: 40 ms in each direction."""

    database: Proxy
    broker: Proxy
    environment: dict[str, str]

    def slow_down(self) -> None:
        for proxy in (self.database, self.broker):
            proxy.delay(ROUND_TRIP_SECONDS / 2)

    def cut(self, *, is_cut: bool = True) -> None:
        for proxy in (self.database, self.broker):
            proxy.blackhole(is_on=is_cut)


@pytest.fixture
def link(acceptance_database: TestDatabase, acceptance_broker_url: str) -> Iterator[Link]:
    """Open the link."""
    urls = {"DATABASE_URL": acceptance_database.urls()["DATABASE_URL"], "REDIS_URL": acceptance_broker_url}
    proxies, environment = {}, {"WORKER_REGION": FAR}
    for name, url in urls.items():
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        proxies[name] = proxy = Proxy((parts.hostname, parts.port))
        account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        environment[name] = urlunsplit(parts._replace(netloc=f"{account}127.0.0.1:{proxy.port}"))
    opened = Link(proxies["DATABASE_URL"], proxies["REDIS_URL"], environment)
    opened.slow_down()
    yield opened
    for proxy in proxies.values():
        proxy.close()


@pytest.fixture
def regions(platform: Platform, link: Link) -> Iterator[Callable[[], ManagedProcess]]:
    """Run a worker in each of two regions, and return a function that restarts the far one, as a supervisor does."""
    targets = {}
    for region in (FAR, NEAR):
        create_worker_pool(name=region, values={"region": region})
        targets[create_queue(name=region, pool=region).pk] = 1
    # Only for tenants of this home region: other tests share the database.
    values = {"position": 1, "kind": "sleep", "region": FAR, "balance": "nearest"}
    rule = create_routing_rule(values=values, targets=targets)
    far: list[ManagedProcess] = []

    def keep_running() -> ManagedProcess:
        if not far or not far[-1].is_running:
            far.append(platform.begin_worker(pool=FAR, **link.environment))
        return far[-1]

    near = platform.begin_worker(pool=NEAR)
    eventually(lambda: is_ready(keep_running()) and is_ready(near), within=START_SECONDS, what="the workers are ready")
    yield keep_running
    far[-1].kill()
    with all_tenants():
        rule.delete()


def has_live_worker(region: str) -> bool:
    since = timezone.now() - timedelta(seconds=platform_settings.LEASE_SECONDS)
    with all_tenants():
        return Worker.objects.filter(pool__region=region, status="online", heartbeat_at__gt=since).exists()


def is_measured(region: str, *, slots: int) -> bool:
    with all_tenants():
        return QueueStanding.objects.filter(queue__name=region, slots=slots).exists()


def regions_of(tenant: Tenant) -> set[str]:
    """Return the regions of all workers that have run a job of the tenant."""
    with all_tenants():
        ids = Execution.objects.filter(tenant_id=tenant.pk).exclude(worker_id=None).values_list("worker_id", flat=True)
        return set(Worker.objects.filter(pk__in=ids).values_list("pool__region", flat=True))


def reasons_of(tenant: Tenant, job: Job) -> dict[str, str]:
    with tenant_context(tenant):
        explanation = why_waiting(Job.objects.get(pk=job.pk))
        return {} if explanation is None else {reason.code: reason.detail for reason in explanation.reasons}


def test_jobs_of_pinned_tenant_wait_for_their_region_and_run_nowhere_else(
    platform: Platform, link: Link, regions: Callable[[], ManagedProcess], acme: Tenant, globex: Tenant
) -> None:
    pinned = update_tenant(tenant=acme, changes={"home_region": FAR, "allowed_regions": [FAR]})
    free = update_tenant(tenant=globex, changes={"home_region": FAR})
    wait_for_all(submit(pinned, "sleep", *[{"seconds": 0}] * 6))
    assert regions_of(pinned) == {FAR}

    running = submit(pinned, "sleep", {"seconds": 1})
    link.cut()
    eventually(lambda: not has_live_worker(FAR), within=90, what="the leases of the region have expired")
    eventually(lambda: is_measured(FAR, slots=0), within=60, what="the loss is measured")
    waiting = submit(pinned, "sleep", *[{"seconds": 0}] * 6)
    assert FAR in reasons_of(pinned, waiting[0])["no_workers"]
    # A tenant that allows every region goes on in the next one.
    wait_for_all(submit(free, "sleep", *[{"seconds": 0}] * 3))
    assert regions_of(free) == {NEAR}
    assert {job.state for job in _stored(waiting)} == {"available"}

    link.cut(is_cut=False)
    eventually(lambda: regions() and has_live_worker(FAR), within=START_SECONDS, what="the region is back")
    eventually(lambda: regions() and _are_completed([*running, *waiting]), within=START_SECONDS, what="the jobs go on")
    assert regions_of(pinned) == {FAR}


def _stored(jobs: list[Job]) -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(pk__in=[job.pk for job in jobs]))


def _are_completed(jobs: list[Job]) -> bool:
    return {job.state for job in _stored(jobs)} == {"completed"}
