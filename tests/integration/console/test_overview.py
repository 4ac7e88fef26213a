"""The overview: correct numbers, a bounded number of statements, isolation between tenants."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scheduling.bulk.starting import start_bulk_operation
from scheduling.bulk.stopping import abort_bulk_operation
from scheduling.models import (
    BulkOperation,
    CFSPlan,
    FairShareNode,
    Job,
    PoolClock,
    Queue,
    QueueGauge,
    Worker,
)
from scheduling.overview.queries import read_overview, read_shares
from scheduling.shares.verdicts import EntitlementState
from scheduling.statistics.gauges import sample_gauges
from scheduling.statistics.minute_charts import draw_strip
from scheduling.stops.pauses import pause_kind, pause_queue
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tests.integration.console.conftest import Work, make_work
from tests.integration.console.shares import a_whole_minute_ago, note
from tests.polled import is_answered_304

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]

Console = Callable[[User], Client]
# The statements that a page may execute, including those for session and rights.
STATEMENT_LIMIT = 16
BYTE_LIMIT = 150 * 1024
PAGES = ("admin:index", "admin:overview_fragment", "admin:overview_shares", "admin:heat_map_fragment")
# Tables of jobs, their places and their history, which grow with them.
JOB_TABLES = re.compile(
    r"scheduling_(job\w*|execution\w*|deadletter|charge|batch\w*|schedulefire|settled|wake|tally)\b", re.IGNORECASE
)


def _demand(tenant: Tenant, queue: str, *, waiting: int, in_flight: int = 0, is_runnable: bool = True) -> None:
    weights = {"sandbox": 1, "team": 2, "professional": 4}
    FairShareNode.objects.update_or_create(
        tenant=tenant,
        queue=Queue.objects.get(name=queue),
        defaults={
            "waiting": waiting,
            "in_flight": in_flight,
            "is_runnable": is_runnable,
            "weight_milli": weights[tenant.plan.slug] * 1000,
        },
    )


def test_overview_counts_waiting_and_ended_jobs_by_queue(acme_work: Work) -> None:
    with all_tenants():
        _demand(acme_work.tenant, "tasks_team", waiting=7)
        sample_gauges()
        overview = read_overview()
    line = next(line for line in overview.queues if line.queue.name == "tasks_team")
    assert line.waiting == overview.waiting == 7
    assert line.ended.failed == 1
    assert line.ended.failure_rate == 1.0
    assert line.ended.busy_seconds == pytest.approx(2.0, abs=0.1)
    assert sum(bucket.failed for bucket in overview.work.buckets) == 1
    assert overview.dead_letters == 1
    assert line.oldest_seconds is not None


def test_shares_stand_beside_entitlements(acme_work: Work, globex_work: Work, live_worker: Worker) -> None:
    with all_tenants():
        note(acme_work.tenant, a_whole_minute_ago(), used=1.0, entitled=3.0)
        note(globex_work.tenant, a_whole_minute_ago(), used=3.0, entitled=1.0)
        history = read_shares().history
    lines = {line.name: line for line in history.lines}
    # The job of the fixture may have run for part of a second in that minute.
    assert lines["Acme"].ratio == pytest.approx(1 / 3, abs=0.05)
    assert lines["Acme"].verdict is EntitlementState.BELOW
    assert lines["Globex"].verdict is EntitlementState.ABOVE
    assert history.starving == 1
    assert history.jain_now is not None
    assert history.jain_now < 1


def test_community_plan_has_no_entitlements(acme_work: Work) -> None:
    with all_tenants():
        CFSPlan.objects.update(is_active=False)
        CFSPlan.objects.filter(name="community").update(is_active=True)
        assert read_shares().history.is_off


def test_member_sees_only_its_own_numbers(acme_work: Work, globex_work: Work, live_worker: Worker) -> None:
    with all_tenants():
        _demand(acme_work.tenant, "tasks", waiting=3)
        _demand(globex_work.tenant, "tasks", waiting=40)
        sample_gauges()
    with tenant_context(acme_work.tenant):
        overview, shares = read_overview(), read_shares()
    assert overview.waiting == 3
    assert overview.pool_minutes is None
    assert {gauge.waiting for row in overview.gauges.by_minute.values() for gauge in row.values()} == {3}
    assert overview.work.total.failed == 1
    assert overview.pools == []
    assert [line.name for line in shares.history.lines] == ["Acme"]
    assert shares.history.lines[0].entitled_slots is None
    assert shares.history.lines[0].standing.waiting == 3
    assert {entry.tenant_id for entry in shares.audit} <= {acme_work.tenant.pk}


def test_members_page_names_no_other_tenant(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    sample_gauges()
    client = console(acme_user)
    page = "".join(
        client.get(reverse(name)).content.decode()
        for name in ("admin:index", "admin:overview_shares", "admin:heat_map_fragment")
    )
    assert "Acme" in page
    assert "globex" not in page.lower()


def reads_of_jobs(texts: list[str], url: str) -> list[str]:
    """Return the statements on jobs; those in flight are bounded by the slots, and only shares read them."""
    bounded = "scheduling_execution_live" if url.startswith(reverse("admin:overview_shares")) else "-"
    return [text for text in texts if JOB_TABLES.search(text.replace(bounded, ""))]


def asked(client: Client, url: str) -> tuple[list[str], int]:
    """Return the statements of a page that read or write tables, and the length of its answer."""
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    assert answer.status_code == 200, url
    # The text of a prepared statement is not recorded; savepoints and session settings read no table.
    texts = [str(query["sql"]) for query in queries]
    return [text for text in texts if re.search(r"\b(FROM|INTO|UPDATE)\b", text)], len(answer.content)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("query", ["", "?queue=tasks_team&view=table"])
def test_each_fragment_takes_few_statements_and_none_on_jobs(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker, name: str, query: str
) -> None:
    sample_gauges()
    client, url = console(staff), reverse(name) + query
    few, size = asked(client, url)
    assert reads_of_jobs(few, url) == []
    assert 0 < len(few) <= STATEMENT_LIMIT, few
    assert size <= BYTE_LIMIT
    for _ in range(3):
        make_work(acme_work.tenant)
    many, _ = asked(client, url)
    assert len(many) == len(few)


@pytest.mark.parametrize("name", PAGES[:3])
def test_members_fragments_take_few_statements_and_none_on_jobs(
    console: Console, acme_user: User, acme_work: Work, name: str
) -> None:
    texts, size = asked(console(acme_user), reverse(name))
    assert reads_of_jobs(texts, reverse(name)) == []
    assert 0 < len(texts) <= STATEMENT_LIMIT, texts
    assert size <= BYTE_LIMIT


def test_job_tables_pattern_matches_statements_on_jobs() -> None:
    for table in ("scheduling_job", "scheduling_job_ready", "scheduling_execution_live", "scheduling_deadletter"):
        assert JOB_TABLES.search(f'SELECT 1 FROM "{table}"')
    for table in ("scheduling_queue_gauge", "scheduling_tenant_minute", "scheduling_queue", "scheduling_worker"):
        assert not JOB_TABLES.search(f'SELECT 1 FROM "{table}"')


def test_charts_show_the_queue_in_the_url(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    for queue, failed in (("", 1), ("tasks_team", 1), ("dataset", 0)):
        answer = client.get(reverse("admin:overview_fragment"), {"queue": queue} if queue else {})
        body = answer.content.decode()
        ended, _ = re.findall(r'<svg viewBox="0 0 600 160"[^>]*aria-label="([^"]*)"', body)
        assert f" and {failed} failed in 60 minutes." in ended, queue
        assert len(re.findall(r'<rect x="\d+" width="10" height="160"><title>', body)) == 2 * 60
        assert " style=" not in body
    page = client.get(reverse("admin:index"), {"queue": "tasks_team", "view": "table"}).content.decode()
    assert f"{reverse('admin:overview_fragment')}?queue=tasks_team&amp;view=table" in page
    assert page.count('<th scope="row">') >= 60


def test_strip_shows_the_hour_minute_by_minute(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    sample_gauges()
    with all_tenants():
        cells, summary = draw_strip(read_overview())
    # One run, and it failed; the minutes before have no sample.
    assert len(cells) == 60
    assert [cell.tone for cell in cells].count("bad") == 1
    assert [cell.tone for cell in cells].count("quiet") >= 58
    assert "1 failing" in summary
    assert "1 new dead letter" in next(cell.title for cell in cells if cell.tone == "bad")


def test_kinds_are_shown_as_a_map_and_a_table(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    drawn = client.get(reverse("admin:heat_map_fragment")).content.decode()
    assert "noop: at most 1." in drawn
    table = client.get(reverse("admin:heat_map_fragment"), {"view": "table", "measure": "failures"}).content.decode()
    assert "<table" in table
    assert ">1</a>" in table


def test_outdated_numbers_are_marked_as_old(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    sample_gauges()
    assert "Numbers are old" not in console(staff).get(reverse("admin:index")).content.decode()
    with all_tenants():
        QueueGauge.objects.update(sampled_at=timezone.now() - timedelta(minutes=3))
    assert "Numbers are old" in console(staff).get(reverse("admin:index")).content.decode()


def test_overview_states_that_no_process_is_alive(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No worker is alive" in page
    assert "The dispatcher is silent" in page


def test_broker_outage_is_not_shown_as_a_silent_dispatcher(
    console: Console, staff: User, acme_user: User, live_worker: Worker
) -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=timezone.now() - timedelta(minutes=1), broker_away_at=timezone.now())
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "The broker is unavailable" in page
    assert "The dispatcher is silent" not in page
    assert "dispatcher silent" not in page
    page = console(acme_user).get(reverse("admin:index")).content.decode()
    assert "The platform is not starting jobs" in page
    assert "The broker is unavailable" not in page


def test_overview_shows_no_alert_while_everything_works(console: Console, staff: User, live_worker: Worker) -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=timezone.now())
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No worker is alive" not in page
    assert "The dispatcher is silent" not in page


def test_silent_worker_contributes_no_slots(live_worker: Worker) -> None:
    with all_tenants():
        Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
        assert read_overview().slots == 0


def test_pauses_are_shown_with_their_reasons(console: Console, staff: User, acme: Tenant) -> None:
    with all_tenants():
        pause_queue(queue=Queue.objects.get(name="dataset"), reason="disk is full")
        pause_kind(kind="noop", reason="waiting for a fix")
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "disk is full" in page
    assert "waiting for a fix" in page


def _start_bulk(tenant: Tenant | None) -> BulkOperation:
    scope = all_tenants() if tenant is None else tenant_context(tenant)
    with scope:
        return start_bulk_operation(
            filter_text="kind:noop",
            operation="reprioritise",
            parameters={"priority": 2},
            reason="a test",
            number=Job.objects.filter(kind="noop").count(),
        )


def test_open_bulk_operations_are_listed_with_abort(
    console: Console, staff: User, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    mine, theirs, of_all = (_start_bulk(tenant) for tenant in (acme_work.tenant, globex_work.tenant, None))
    pages = {row.pk: reverse("admin:scheduling_bulkoperation_change", args=[row.pk]) for row in (mine, theirs, of_all)}
    own = console(acme_user).get(reverse("admin:index")).content.decode()
    assert [key for key, page in pages.items() if page in own] == [mine.pk]
    assert "Abort…" in own
    everybodys = console(staff).get(reverse("admin:index")).content.decode()
    assert all(page in everybodys for page in pages.values())
    assert "change the priority: 2" in everybodys
    with all_tenants():
        abort_bulk_operation(operation_id=mine.pk, reason="enough")
    assert pages[mine.pk] not in console(acme_user).get(reverse("admin:index")).content.decode()


def test_bulk_operations_cost_one_statement(console: Console, staff: User, acme_work: Work) -> None:
    client, url = console(staff), reverse("admin:overview_fragment")
    without, _ = asked(client, url)
    for _ in range(3):
        _start_bulk(acme_work.tenant)
    texts, _ = asked(client, url)
    assert len(texts) == len(without) <= STATEMENT_LIMIT
    assert [text for text in texts if JOB_TABLES.search(text)] == []


def test_viewer_is_offered_no_abort(console: Console, acme_work: Work) -> None:
    _start_bulk(acme_work.tenant)
    viewer = User.objects.create_user("vera", password="x", is_staff=True)
    add_member(tenant=acme_work.tenant, user=viewer, role=Role.VIEWER)
    page = console(viewer).get(reverse("admin:index")).content.decode()
    assert "change the priority: 2" in page
    assert "Abort…" not in page


def test_unchanged_fragment_is_304(console: Console, staff: User) -> None:
    client = console(staff)
    url = reverse("admin:overview_fragment")
    first = client.get(url)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert is_answered_304(client, url)


def test_empty_platform_names_the_next_step(console: Console, staff: User) -> None:
    page = console(staff).get(reverse("admin:index")).content.decode()
    assert "No queue has work" in page
    assert "submit_job" in page
