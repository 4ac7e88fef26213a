"""The list of tenants by load, and the page of one tenant with its work."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scheduling.models import TenantGauge, TenantMinute, Worker
from scheduling.statistics.gauges import sample_gauges
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant, TenantUsage
from tenants.tenancy.service import create_tenant, pause_tenant
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work
from tests.integration.console.shares import a_whole_minute_ago, demand, note
from tests.polled import is_answered_304

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
LIST = "admin:tenants_tenant_changelist"
# Executions in flight are bounded by the slots.
JOBS = re.compile(r"scheduling_(job\w*|execution|deadletter)\b")


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def listed(page: Any) -> list[str]:
    return [tenant.slug for tenant in page.context["cl"].result_list]


def page_of(tenant: Tenant) -> str:
    return reverse("admin:tenants_tenant_change", args=[tenant.pk])


@pytest.fixture
def noisy(acme: Tenant, globex: Tenant) -> Tenant:
    """Let globex use three times its entitlement, and acme half of its own; return globex."""
    with all_tenants():
        for ago in range(1, 6):
            minute = a_whole_minute_ago() - timedelta(minutes=ago)
            note(acme, minute, used=0.5, entitled=1)
            note(globex, minute, used=3, entitled=1)
    return globex


def test_noisiest_tenant_is_first(console: Console, staff: User, noisy: Tenant, acme: Tenant) -> None:
    quiet = create_tenant(slug="aaa", plan="team")
    page = console(staff).get(reverse(LIST))
    assert listed(page) == [noisy.slug, acme.slug, quiet.slug]
    words = words_of(page.content.decode())
    assert "▲ 300 %" in words
    assert "▼ 50 %" in words


@pytest.mark.parametrize(
    ("column", "first"),
    [("waiting_jobs", "globex"), ("oldest_wait", "acme"), ("failed_executions", "globex"), ("worker_time", "acme")],
)
def test_list_is_sorted_by_any_column(
    column: str, first: str, console: Console, staff: User, acme: Tenant, globex: Tenant
) -> None:
    with all_tenants():
        demand(acme, waiting=2)
        demand(globex, waiting=7)
        sample_gauges()
        TenantGauge.objects.filter(tenant=acme).update(waiting=2, oldest_at=timezone.now() - timedelta(hours=2))
        TenantGauge.objects.filter(tenant=globex).update(waiting=7, oldest_at=timezone.now() - timedelta(hours=1))
        note(acme, a_whole_minute_ago(), used=1, entitled=1)
        note(globex, a_whole_minute_ago(), used=1, entitled=1)
        TenantMinute.objects.filter(tenant=globex).update(failed=4)
        month = timezone.now().date().replace(day=1)
        TenantUsage.objects.create(tenant=acme, key="worker_seconds_per_month", period=month, amount=50_000_000_000)
    client = console(staff)
    index = client.get(reverse(LIST)).context["cl"].list_display.index(column)
    falling = client.get(reverse(LIST), {"o": f"-{index}"})
    assert listed(falling)[0] == first
    assert listed(client.get(reverse(LIST), {"o": str(index)}))[0] != first
    if column == "worker_time":
        assert "50,000 s (50 %)" in words_of(falling.content.decode())


def test_worker_time_is_compared_with_an_override(console: Console, staff: User, acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="worker_seconds_per_month", value=1_000, reason="trial")
    with all_tenants():
        month = timezone.now().date().replace(day=1)
        TenantUsage.objects.create(tenant=acme, key="worker_seconds_per_month", period=month, amount=250_000_000)
    assert "250 s (25 %)" in words_of(console(staff).get(reverse(LIST)).content.decode())


def test_list_reads_no_jobs_in_few_queries(console: Console, staff: User, noisy: Tenant) -> None:
    for number in range(30):
        create_tenant(slug=f"tenant-{number}", plan="team")
    client = console(staff)
    client.get(reverse(LIST))
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse(LIST))
    asked = [query["sql"] or "" for query in queries]
    reads = [sql for sql in asked if '"tenants_tenant"' in sql or "scheduling_" in sql]
    assert len(reads) <= 12, reads
    assert [sql for sql in reads if JOBS.search(sql)] == []


def test_member_sees_its_own_load_without_entitlement(
    console: Console, acme_user: User, noisy: Tenant, acme: Tenant
) -> None:
    client = console(acme_user)
    page = client.get(reverse(LIST))
    assert listed(page) == ["acme"]
    assert "share_of_entitlement" not in page.context["cl"].list_display
    words = words_of(client.get(page_of(acme)).content.decode())
    assert "of the entitlement used" not in words
    assert "globex" not in words


def test_page_shows_share_backlog_failures_and_schedules(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1, entitled=1)
    sample_gauges()
    client = console(staff)
    page = client.get(page_of(acme_work.tenant))
    words = words_of(page.content.decode())
    assert "Share over the last hour" in words
    # The failed job ran for two seconds, which may lie in the same minute.
    assert re.search(r"\b10[0-3] % of the entitlement used while jobs waited", words)
    assert [chart.line.slug for chart in page.context["charts"]] == ["acme"]
    parts = {part.name: part for part in page.context["parts"]}
    assert list(parts) == ["failures", "schedules", "holds", "members", "keys", "secrets", "plans"]
    for part in parts.values():
        for url in (part.url, *(line.url for line in part.lines)):
            assert client.get(url).status_code == 200, url


def test_page_of_a_tenant_without_entitlement_shows_its_use(
    console: Console, staff: User, noisy: Tenant, acme: Tenant
) -> None:
    third = create_tenant(slug="third", plan="team")
    page = console(staff).get(page_of(third))
    assert [chart.line.slug for chart in page.context["charts"]] == ["third"]


def test_live_part_shows_the_state_and_the_tenants_own_backlog(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    client = console(staff)
    url = reverse("admin:tenants_tenant_now", args=[acme_work.tenant.pk])
    assert "active" in words_of(client.get(url).content.decode())
    pause_tenant(tenant=acme_work.tenant, reason="holiday")
    answer = client.get(url)
    assert "paused “holiday”" in words_of(answer.content.decode())
    assert is_answered_304(client, url)


def test_live_part_of_another_tenant_is_not_found(console: Console, acme_user: User, globex: Tenant) -> None:
    assert console(acme_user).get(reverse("admin:tenants_tenant_now", args=[globex.pk])).status_code == 404
