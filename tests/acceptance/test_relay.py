"""Webhooks are told of each end once, however often the dispatcher that tells them is killed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from scheduling.conf import WEBHOOK_KIND
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import EventRelay, Job
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.acceptance.acts import submit
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from workloads.webhooks.models import Delivery, Webhook
from workloads.webhooks.service import create_webhook

# Nothing is called there: an address inside is refused, and the attempt is on record like any other.
INSIDE = "http://127.0.0.1:9/hook"
KILLS, JOBS_A_ROUND = 5, 40


def subscribe(tenant: Tenant, name: str = "ops") -> Webhook:
    for key in ("max_waiting_jobs", "submits_per_minute", "submit_burst"):
        set_tenant_limit(tenant=tenant, key=key, value=1_000_000, reason="what is told has room")
    return create_webhook(tenant=tenant, name=name, url=INSIDE, events=["job.cancelled"]).webhook


def end(tenant: Tenant, count: int) -> list[UUID]:
    """Jobs that have ended: cancelled, before anybody could run them."""
    jobs = submit(tenant, "noop", *[{}] * count, run_at=timezone.now() + timedelta(hours=1))
    with all_tenants():
        cancel_jobs(job_ids=[job.pk for job in jobs])
    return [job.pk for job in jobs]


def told(webhook: Webhook) -> Counter[UUID]:
    """How often the webhook was told of each job, by the jobs that tell it."""
    with all_tenants():
        payloads = Job.objects.filter(tenant=webhook.tenant_id, kind=WEBHOOK_KIND).values_list("payload", flat=True)
        return Counter(UUID(each["data"]["job"]) for each in payloads if each["webhook"] == str(webhook.pk))


def on_record(webhook: Webhook) -> Counter[UUID]:
    """How often the webhook was told of each job, by its own record of attempts."""
    with all_tenants():
        attempted = Delivery.objects.filter(webhook=webhook).values_list("job_id", flat=True)
        payloads = dict(Job.objects.filter(pk__in=list(attempted)).values_list("pk", "payload"))
        return Counter(UUID(payloads[job_id]["data"]["job"]) for job_id in attempted)


def is_relay_blocked() -> bool:
    """Whether a relay has done its work and waits for us to note how far it came: we hold nothing but its rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def test_a_dispatcher_that_is_killed_before_its_commit_has_told_nothing(platform: Platform, acme: Tenant) -> None:
    webhook = subscribe(acme)
    first = end(acme, 1)
    eventually(lambda: told(webhook) == Counter(first), what="the first end is told")
    assert platform.dispatcher is not None
    platform.dispatcher.kill()
    ended = end(acme, 5)
    with all_tenants(), transaction.atomic():
        list(EventRelay.objects.select_for_update().all())
        dying = platform.start_dispatcher()
        eventually(is_relay_blocked, what="a relay is about to commit")
        dying.kill()
        assert told(webhook) == Counter(first)
    platform.make_whole()
    eventually(lambda: told(webhook) >= Counter([*first, *ended]), what="all are told")
    eventually(lambda: on_record(webhook) >= Counter([*first, *ended]), what="all were attempted")
    assert told(webhook) == on_record(webhook) == Counter([*first, *ended])


def test_each_end_is_told_once_while_dispatchers_are_killed_again_and_again(
    platform: Platform, acme: Tenant, initech: Tenant
) -> None:
    hooks = {acme: [subscribe(acme), subscribe(acme, "more")], initech: [subscribe(initech)]}
    ended: dict[Tenant, list[UUID]] = {tenant: [] for tenant in hooks}
    for kill in range(KILLS):
        already = sum(told(hooks[acme][0]).values())
        for tenant in hooks:
            ended[tenant] += end(tenant, JOBS_A_ROUND)
        # Somewhere in the middle, each time a little later.
        wanted = already + kill * JOBS_A_ROUND // KILLS
        eventually(lambda wanted=wanted: sum(told(hooks[acme][0]).values()) >= wanted, what="some are told")
        assert platform.dispatcher is not None
        platform.dispatcher.kill()
        platform.dispatcher = platform.start_dispatcher()
    for tenant, own in hooks.items():
        for webhook in own:
            wanted_of_all = Counter(ended[tenant])
            eventually(lambda hook=webhook, all_=wanted_of_all: told(hook) >= all_, what="all are told")
            eventually(lambda hook=webhook, all_=wanted_of_all: on_record(hook) >= all_, what="all were attempted")
            assert told(webhook) == on_record(webhook) == wanted_of_all
    assert faults_of("ledger") == []
