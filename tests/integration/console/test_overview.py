"""The first page: the right numbers, a bounded number of statements, nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scheduling.models import CFSPlan, PoolClock, Queue, SchedulingEntity, Worker
from scheduling.selectors.fairness import Verdict
from scheduling.selectors.overview import read_overview
from scheduling.services.pauses import pause_kind, pause_queue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.console.conftest import Work, make_work

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]
STATEMENT_LIMIT = 18


def _demand(tenant: Tenant, queue: str, *, waiting: int, in_flight: int = 0, is_runnable: bool = True) -> None:
    weights = {"sandbox": 1, "team": 2, "professional": 4}
    SchedulingEntity.objects.update_or_create(
        tenant=tenant,
        queue=Queue.objects.get(name=queue),
        defaults={
            "waiting": waiting,
            "in_flight": in_flight,
            "is_runnable": is_runnable,
            "weight_milli": weights[tenant.plan.slug] * 1000,
        },
    )


def test_it_counts_what_waits_and_what_ended_by_queue(acme_work: Work) -> None:
    with all_tenants():
        _demand(acme_work.tenant, "workflow_team", waiting=7)
        overview = read_overview()
    line = next(line for line in overview.queues if line.queue.name == "workflow_team")
    assert line.waiting == overview.waiting == 7
    assert line.ended.failed == 1
    assert line.ended.failure_rate == 1.0
    assert line.ended.busy_seconds == pytest.approx(2.0, abs=0.1)
    assert sum(bucket.failed for bucket in overview.work.buckets) == 1
    assert overview.dead_letters.value == 1
    assert line.oldest_seconds is not None


def test_shares_stand_beside_entitlements(acme_work: Work, globex_work: Work, live_worker: Worker) -> None:
    with all_tenants():
        for work in (acme_work, globex_work):
            _demand(work.tenant, "workflow", waiting=5)
        share = read_overview().fair_share
    lines = {line.name: line for line in share.lines}
    # Team weighs 2, sandbox 1; both had the same two seconds. The caps of 5 and 2 cut nobody on four slots.
    assert lines["Acme"].entitled_slots == pytest.approx(8 / 3)
    assert lines["Globex"].entitled_slots == pytest.approx(4 / 3)
    assert lines["Acme"].used_share == pytest.approx(0.5, abs=0.05)
    assert lines["Acme"].verdict is Verdict.BELOW
    assert lines["Globex"].verdict is Verdict.ABOVE
    assert share.starving == 1
    assert share.jain is not None
    assert share.jain < 1


def test_a_tenant_that_waits_for_nothing_is_never_below_its_share(acme_work: Work, live_worker: Worker) -> None:
    with all_tenants():
        _demand(acme_work.tenant, "workflow_team", waiting=0, is_runnable=False)
        lines = read_overview().fair_share.lines
    assert {line.verdict for line in lines} == {Verdict.IDLE}


def test_the_community_plan_entitles_nobody(acme_work: Work) -> None:
    with all_tenants():
        CFSPlan.objects.update(is_active=False)
        CFSPlan.objects.filter(name="community").update(is_active=True)
        assert read_overview().fair_share.is_off


def test_a_member_sees_its_own_numbers_only(acme_work: Work, globex_work: Work, live_worker: Worker) -> None:
    with all_tenants():
        _demand(acme_work.tenant, "workflow", waiting=3)
        _demand(globex_work.tenant, "workflow", waiting=40)
    with tenant_context(acme_work.tenant):
        overview = read_overview()
    assert overview.waiting == 3
    assert overview.work.total.failed == 1
    assert overview.pools == []
    assert [line.name for line in overview.fair_share.lines] == ["Acme"]
    assert overview.fair_share.lines[0].entitled_slots is None
    assert {entry.tenant_id for entry in overview.audit} <= {acme_work.tenant.pk}


def test_the_members_page_names_no_other_tenant(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    page = console(acme_user).get(reverse("admin:index")).content.decode()
    assert "Acme" in page
    assert "globex" not in page.lower()


def test_it_takes_no_more_statements_with_more_rows(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    client = console(staff)
    url = reverse("admin:overview_fragment")
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    for _ in range(3):
        make_work(acme_work.tenant)
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    # Of a prepared statement no text is kept.
    texts = [query["sql"] or "" for query in many]
    own = [text for text in texts if "scheduling_" in text or "tenants_" in text]
    assert len(many) == len(few)
    assert len(own) <= STATEMENT_LIMIT, own


def test_no_statement_counts_jobs(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("admin:overview_fragment"))
    texts = [query["sql"] or "" for query in queries]
    assert [text for text in texts if "COUNT(" in text.upper() and 'FROM "scheduling_job"' in text] == []


def test_it_says_that_nobody_works(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No worker is alive" in page
    assert "The dispatcher is silent" in page


def test_a_broker_that_is_away_is_not_told_as_a_silent_dispatcher(
    console: Console, staff: User, acme_user: User, live_worker: Worker
) -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=timezone.now() - timedelta(minutes=1), broker_away_at=timezone.now())
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "The broker is away" in page
    assert "The dispatcher is silent" not in page
    assert "dispatcher silent" not in page
    page = console(acme_user).get(reverse("admin:index")).content.decode()
    assert "The platform is not starting jobs" in page
    assert "The broker is away" not in page


def test_it_is_calm_while_everything_works(console: Console, staff: User, live_worker: Worker) -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=timezone.now())
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No worker is alive" not in page
    assert "The dispatcher is silent" not in page


def test_a_worker_not_heard_of_gives_no_slots(live_worker: Worker) -> None:
    with all_tenants():
        Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
        assert read_overview().slots == 0


def test_pauses_are_told_with_their_reasons(console: Console, staff: User, acme: Tenant) -> None:
    with all_tenants():
        pause_queue(queue=Queue.objects.get(name="dataset"), reason="disk is full")
        pause_kind(kind="noop", reason="waiting for a fix")
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "disk is full" in page
    assert "waiting for a fix" in page


def test_the_part_is_not_sent_twice(console: Console, staff: User) -> None:
    client = console(staff)
    url = reverse("admin:overview_fragment")
    first = client.get(url)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_an_empty_platform_names_the_next_step(console: Console, staff: User) -> None:
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No queue has work" in page
    assert "submit_job" in page
