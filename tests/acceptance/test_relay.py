"""Webhooks are notified of each job end once, however often the dispatcher is killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from scheduling.conf import WEBHOOK_KIND
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import EventRelay, Job
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import submit
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from workloads.webhooks.models import Delivery, Webhook
from workloads.webhooks.service import create_webhook

# Not called: an internal address is refused, and the attempt is recorded like any other.
INSIDE = "http://127.0.0.1:9/hook"
KILLS, JOBS_A_ROUND = 5, 40


@pytest.fixture(autouse=True)
def io_worker(platform: Platform) -> Iterator[None]:
    """Start a worker that sends the deliveries."""
    worker = platform.start_worker(pool="io")
    yield
    worker.stop()


def subscribe(tenant: Tenant, name: str = "ops") -> Webhook:
    for key in ("max_waiting_jobs", "submits_per_minute", "submit_burst"):
        set_tenant_limit(tenant=tenant, key=key, value=1_000_000, reason="room for deliveries")
    return create_webhook(tenant=tenant, name=name, url=INSIDE, events=["job.cancelled"]).webhook


def end(tenant: Tenant, count: int) -> list[UUID]:
    """Return cancelled jobs that no worker could run before."""
    jobs = submit(tenant, "noop", *[{}] * count, run_at=timezone.now() + timedelta(hours=1))
    with all_tenants():
        cancel_jobs(job_ids=[job.pk for job in jobs])
    return [job.pk for job in jobs]


def submitted_deliveries(webhook: Webhook) -> Counter[UUID]:
    """Count the delivery jobs of a webhook by the job of their event."""
    with all_tenants():
        payloads = Job.objects.filter(tenant=webhook.tenant_id, kind=WEBHOOK_KIND).values_list("payload", flat=True)
        return Counter(UUID(each["data"]["job"]) for each in payloads if each["webhook"] == str(webhook.pk))


def recorded_attempts(webhook: Webhook) -> Counter[UUID]:
    """Count the recorded attempts of a webhook by the job of their event."""
    with all_tenants():
        attempted = Delivery.objects.filter(webhook=webhook).values_list("job_id", flat=True)
        payloads = dict(Job.objects.filter(pk__in=list(attempted)).values_list("pk", "payload"))
        return Counter(UUID(payloads[job_id]["data"]["job"]) for job_id in attempted)


def is_relay_blocked() -> bool:
    """Return whether a relay waits for our lock on its rows, at the end of its work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def test_dispatcher_killed_before_commit_has_notified_no_webhook(platform: Platform, acme: Tenant) -> None:
    webhook = subscribe(acme)
    first = end(acme, 1)
    eventually(lambda: submitted_deliveries(webhook) == Counter(first), what="the first end is delivered")
    assert platform.dispatcher is not None
    platform.dispatcher.kill()
    ended = end(acme, 5)
    with all_tenants(), transaction.atomic():
        list(EventRelay.objects.select_for_update().all())
        dying = platform.start_dispatcher()
        eventually(is_relay_blocked, what="a relay is about to commit")
        dying.kill()
        assert submitted_deliveries(webhook) == Counter(first)
    platform.restart_stopped()
    eventually(lambda: submitted_deliveries(webhook) >= Counter([*first, *ended]), what="all are delivered")
    eventually(lambda: recorded_attempts(webhook) >= Counter([*first, *ended]), what="all were attempted")
    assert submitted_deliveries(webhook) == recorded_attempts(webhook) == Counter([*first, *ended])


def test_each_job_end_is_delivered_once_although_dispatchers_are_killed(
    platform: Platform, acme: Tenant, initech: Tenant
) -> None:
    hooks = {acme: [subscribe(acme), subscribe(acme, "more")], initech: [subscribe(initech)]}
    ended: dict[Tenant, list[UUID]] = {tenant: [] for tenant in hooks}
    for kill in range(KILLS):
        already = sum(submitted_deliveries(hooks[acme][0]).values())
        for tenant in hooks:
            ended[tenant] += end(tenant, JOBS_A_ROUND)
        # Somewhere in the middle, each time a little later.
        wanted = already + kill * JOBS_A_ROUND // KILLS
        eventually(
            lambda wanted=wanted: sum(submitted_deliveries(hooks[acme][0]).values()) >= wanted,
            what="some are delivered",
        )
        assert platform.dispatcher is not None
        platform.dispatcher.kill()
        platform.dispatcher = platform.start_dispatcher()
    for tenant, own in hooks.items():
        for webhook in own:
            wanted_of_all = Counter(ended[tenant])
            eventually(
                lambda hook=webhook, all_=wanted_of_all: submitted_deliveries(hook) >= all_, what="all are delivered"
            )
            eventually(
                lambda hook=webhook, all_=wanted_of_all: recorded_attempts(hook) >= all_, what="all were attempted"
            )
            assert submitted_deliveries(webhook) == recorded_attempts(webhook) == wanted_of_all
    assert faults_of("ledger") == []
