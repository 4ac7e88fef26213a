"""The fairness explorer: historical shares beside historical entitlements, decisions, and isolation between tenants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.models import (
    CFSPlan,
    LiveExecution,
    Queue,
    Worker,
)
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.shares.verdicts import EntitlementState
from scheduling.shares.virtual_times import read_virtual_times
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.console.conftest import Work, queue_named
from tests.integration.console.shares import (
    FACTS,
    a_whole_minute_ago,
    demand,
    dispatched,
    note,
)

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]
STATEMENT_LIMIT = 16


def test_historical_shares_stand_beside_historical_entitlements(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        minute = a_whole_minute_ago()
        note(acme, minute, used=1.0, entitled=3.0)
        note(globex, minute, used=3.0, entitled=1.0)
        history = read_share_history(HistorySpan.HOUR)
    lines = {line.slug: line for line in history.lines}
    assert [line.slug for line in history.lines] == ["acme", "globex"]
    assert (lines["acme"].used[-2], lines["acme"].entitled[-2]) == pytest.approx((1.0, 3.0))
    assert lines["acme"].ratio == pytest.approx(1 / 3)
    assert (lines["acme"].verdict, lines["globex"].verdict) == (EntitlementState.BELOW, EntitlementState.ABOVE)
    assert history.jain[-2] == pytest.approx((1 / 3 + 3) ** 2 / (2 * (1 / 9 + 9)))
    assert history.jain_now == history.jain[-2]
    assert lines["acme"].lag_us == 1_500_000
    assert history.starving == 1


@pytest.mark.parametrize("span", list(HistorySpan))
def test_each_range_has_its_bins(acme: Tenant, span: HistorySpan) -> None:
    with all_tenants():
        ago = {HistorySpan.RECENT: 5, HistorySpan.HOUR: 20}.get(span, 80)
        minute = a_whole_minute_ago() - timedelta(minutes=ago)
        note(acme, minute, used=2.0, entitled=2.0)
        history = read_share_history(span)
    [line] = history.lines
    assert len(line.used) == len(line.entitled) == len(history.jain) == span.bins
    minutes = span.bin_length / timedelta(minutes=1)
    index = (minute - history.since) // span.bin_length
    assert line.used[index] == pytest.approx(2.0 / minutes)
    assert sum(line.used) == line.used[index]


def test_queue_filter_narrows_the_comparison(acme: Tenant) -> None:
    with all_tenants():
        minute = a_whole_minute_ago()
        note(acme, minute, used=1.0, entitled=1.0)
        note(acme, minute, used=2.0, entitled=4.0, queue="dataset")
        history = read_share_history(HistorySpan.HOUR, queues=[queue_named("dataset")])
        whole = read_share_history(HistorySpan.HOUR)
    assert history.lines[0].used[-2] == pytest.approx(2.0)
    assert history.lines[0].entitled[-2] == pytest.approx(4.0)
    assert whole.lines[0].used[-2] == pytest.approx(3.0)
    # A tenant backlogged in two queues counts once.
    assert whole.lines[0].backlogged[-2] == pytest.approx(1.0)


def test_tenant_sees_only_its_own_use(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        minute = a_whole_minute_ago()
        note(acme, minute, used=1.0, entitled=3.0)
        note(globex, minute, used=3.0, entitled=1.0)
        demand(globex)
    with tenant_context(acme):
        history = read_share_history(HistorySpan.HOUR)
        assert read_virtual_times(list(Queue.objects.all())) == []
    [line] = history.lines
    assert line.slug == "acme"
    assert line.used[-2] == pytest.approx(1.0)
    assert (line.entitled, line.lag_us, line.verdict) == ([], None, EntitlementState.UNKNOWN)
    assert history.jain == []


def test_virtual_times_are_relative_to_the_queues_own(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        queue = queue_named("tasks")
        queue.clock.virtual_time = 1_000_000_000
        queue.clock.save()
        demand(acme, vruntime=1_250_000_000)
        demand(globex, vruntime=1_000_000_000, weight=2)
        [times] = read_virtual_times([queue, queue_named("dataset")])
    assert [(row.slug, row.ahead_us, row.weight) for row in times.tenants] == [
        ("globex", 0, 2.0),
        ("acme", 250_000, 1.0),
    ]


def test_running_jobs_count_and_jobs_of_one_message_share_its_slot(acme_work: Work) -> None:
    now, message = read_clock(), uuid4()
    with all_tenants():
        for job in (acme_work.waiting, acme_work.failed):
            LiveExecution.objects.create(
                tenant=acme_work.tenant,
                job=job,
                message_id=message,
                entity_id=1,
                queue_id=job.queue_id,
                pool_id=job.queue.pool_id,
                kind="noop",
                number=1,
                token=uuid4(),
                predicted_us=1,
                weight_milli=1_000,
                queue_weight_milli=1_000,
                dispatched_at=now,
                published_at=now,
                started_at=now - timedelta(seconds=90),
            )
    with tenant_context(acme_work.tenant):
        [line] = read_share_history(HistorySpan.HOUR).lines
    # The minute before this one has 60 s of the 90 at most, and the 2 s of the failed job.
    assert 0.5 <= line.used[-2] <= 1.1


def test_page_shows_all_numbers_to_staff(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1.0, entitled=3.0)
        # In a completed column, however much of the running minute has passed.
        note(acme_work.tenant, a_whole_minute_ago() - timedelta(minutes=5), used=1.0, entitled=3.0)
        note(globex_work.tenant, a_whole_minute_ago(), used=3.0, entitled=1.0)
        demand(globex_work.tenant)
        dispatched(acme_work, **FACTS)
    client = console(staff)
    page = client.get(reverse("admin:fairness"), {"tenant": "acme"}).content.decode()
    assert "1 tenant used less than 80 %" in page
    assert "▼ 1.5 s behind" in page
    assert "least virtual time" in page
    assert "tenants of the queue" in page
    assert "+4 ms" in page
    assert "+7 ms" in page
    assert reverse("admin:scheduling_job_change", args=[acme_work.failed.pk]) in page
    table = client.get(reverse("admin:fairness"), {"view": "table"}).content.decode()
    # Five minutes per column: 1 of 3 slots for one of them.
    assert "0.2 / 0.6" in table
    assert "Choose a tenant" in table


def test_members_page_names_no_other_tenant(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1.0, entitled=3.0)
        note(globex_work.tenant, a_whole_minute_ago(), used=3.0, entitled=1.0)
        demand(globex_work.tenant)
        dispatched(acme_work, **FACTS)
    client = console(acme_user)
    for query in ({}, {"tenant": "globex"}, {"view": "table", "queue": "tasks", "pool": "default"}):
        page = client.get(reverse("admin:fairness"), query).content.decode()
        assert "Your use" in page
        assert "globex" not in page.lower()
        assert "Runner-up" not in page
        assert "least virtual time" not in page
        assert "Jain" not in page
        assert str(acme_work.failed.pk) in page


def test_invalid_parameters_are_ignored(console: Console, staff: User) -> None:
    query = {"range": "century", "pool": "x", "queue": "%00", "tenant": "' OR 1=1", "view": "<b>"}
    response = console(staff).get(reverse("admin:fairness"), query)
    assert response.status_code == 200
    assert "No competition" in response.content.decode()


def test_queue_of_another_pool_matches_nothing(console: Console, staff: User, acme: Tenant) -> None:
    with all_tenants():
        note(acme, a_whole_minute_ago(), used=1.0, entitled=3.0)
        demand(acme)
    query = {"pool": "maintenance", "queue": "tasks"}
    page = console(staff).get(reverse("admin:fairness"), query).content.decode()
    assert "No competition" in page
    assert "No tenant waits for a slot" in page


def test_page_takes_a_constant_number_of_statements(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(staff)
    url = reverse("admin:fairness_fragment") + "?tenant=acme"
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1.0, entitled=3.0)
        dispatched(acme_work, **FACTS)
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    with all_tenants():
        for minute in range(2, 9):
            note(globex_work.tenant, a_whole_minute_ago() - timedelta(minutes=minute), used=3.0, entitled=1.0)
        demand(globex_work.tenant)
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few)
    # The text of a prepared statement is not recorded.
    texts = [query["sql"] or "" for query in many]
    own = [text for text in texts if "scheduling_" in text or "tenants_" in text]
    assert len(own) <= STATEMENT_LIMIT, own


def test_unchanged_fragment_is_304(console: Console, staff: User) -> None:
    client = console(staff)
    first = client.get(reverse("admin:fairness_fragment"))
    again = client.get(reverse("admin:fairness_fragment"), headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)


def test_page_states_that_fair_sharing_is_off(console: Console, staff: User) -> None:
    with all_tenants():
        CFSPlan.objects.update(is_active=False)
        CFSPlan.objects.filter(name="community").update(is_active=True)
    assert "Fair sharing is off" in console(staff).get(reverse("admin:fairness")).content.decode()


def test_api_returns_the_same_numbers_as_the_page(
    api_client: Callable[[Tenant], APIClient], staff: User, acme_work: Work, globex_work: Work
) -> None:
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1.0, entitled=3.0)
        note(globex_work.tenant, a_whole_minute_ago(), used=3.0, entitled=1.0)
        demand(globex_work.tenant)
        dispatched(acme_work, **FACTS)
    own = api_client(acme_work.tenant)
    answer = own.get("/api/v1/fairness/").json()
    assert [line["slug"] for line in answer["tenants"]] == ["acme"]
    assert answer["tenants"][0]["entitled"] == answer["virtual_times"] == answer["jain"] == []
    [decision] = own.get("/api/v1/fairness/decisions/").json()["results"]
    assert (decision["reason"], decision["level"], decision["in_flight"]) == ("", "", 3)
    assert {value for name, value in decision.items() if name.endswith(("_tag", "runner_up_us"))} == {None}

    everybody = APIClient()
    everybody.force_login(staff)
    answer = everybody.get("/api/v1/fairness/", {"range": "6h", "queue": "tasks"}).json()
    assert [line["slug"] for line in answer["tenants"]] == ["acme", "globex"]
    assert len(answer["jain"]) == len(answer["tenants"][0]["used"]) == 72
    assert answer["virtual_times"][0]["tenants"][0]["name"] == "Globex"
    assert everybody.get("/api/v1/fairness/decisions/").json()["code"] == "tenant_required"
    assert everybody.get("/api/v1/fairness/", {"queue": "none"}).status_code == 404
    assert everybody.get("/api/v1/fairness/", {"range": "week"}).status_code == 422
    assert everybody.get("/api/v1/fairness/", {"colour": "red"}).status_code in {400, 422}
