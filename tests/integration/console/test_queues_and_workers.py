"""The pages of queues and workers: numbers of rollups and gauges, stops with their ends, and running jobs."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scheduling.fleet.blocks import MOST_BLOCKS, list_blocks, new_block, note_blocks
from scheduling.fleet.queue_consumers import measure_queues
from scheduling.models import FairShareNode, LiveExecution, Queue, QueueGauge, Worker
from scheduling.statistics.gauges import sample_gauges
from scheduling.stops.pauses import drain_queue, pause_queue
from scheduling.topology.queue_rows import QueueRow, read_queue_rows
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work
from tests.integration.console.test_overview import JOB_TABLES

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
QUEUES, WORKERS = "admin:scheduling_queue_changelist", "admin:scheduling_worker_changelist"


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def demand(tenant: Tenant, queue: Queue, waiting: int) -> None:
    with all_tenants():
        values = {"waiting": waiting, "is_runnable": True, "estimate_us": 3_000_000}
        FairShareNode.objects.update_or_create(tenant=tenant, queue=queue, defaults=values)


def run(work: Work, worker: Worker, queue: Queue, seconds: float = 5) -> LiveExecution:
    """Store an execution that the worker has started."""
    with all_tenants():
        now = timezone.now()
        return LiveExecution.objects.create(
            id=uuid7(),
            tenant=work.tenant,
            job=work.waiting,
            entity_id=1,
            queue=queue,
            pool=worker.pool,
            kind="noop",
            number=2,
            token=uuid7(),
            predicted_us=1,
            weight_milli=1,
            queue_weight_milli=1,
            dispatched_at=now,
            published_at=now,
            started_at=now - timedelta(seconds=seconds),
            worker_id=worker.pk,
            lease_expires_at=now + timedelta(minutes=1),
        )


def line_of(queue: Queue) -> QueueRow:
    with all_tenants():
        return next(line for line in read_queue_rows() if line.queue == queue)


def test_rates_come_from_ended_jobs_and_two_samples(acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    demand(acme_work.tenant, queue, 40)
    measure_queues()
    sample_gauges()
    # Counting began within the window: the time before is unknown.
    assert line_of(queue).in_per_minute is None
    with all_tenants():
        row = QueueGauge.objects.get(queue=queue)
        row.minute -= timedelta(minutes=11)
        row.waiting = 10
        row.save(force_insert=True)
    line = line_of(queue)
    # Thirty more wait, and one was cancelled: 31 arrived.
    assert line.in_per_minute == pytest.approx(31 / line.minutes)
    assert line.out_per_minute == pytest.approx(1 / line.minutes)
    assert (line.capacity, line.utilisation) == (4, 0)


def test_rates_cover_the_part_of_the_window_that_has_samples(acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    demand(acme_work.tenant, queue, 40)
    sample_gauges()
    # Only the current minute has a sample.
    assert line_of(queue).minutes <= 2
    assert line_of(queue).in_per_minute is None
    with all_tenants():
        row = QueueGauge.objects.get(queue=queue)
        row.minute -= timedelta(minutes=3)
        row.waiting = 10
        row.save(force_insert=True)
    line = line_of(queue)
    assert 2 <= line.minutes <= 3
    # Thirty more wait; those that ended in the known minutes arrived there.
    ended = line.ended.completed + line.ended.dead_letters
    assert line.in_per_minute == pytest.approx((30 + ended) / line.minutes)


def test_empty_in_is_predicted_slot_time_over_entitled_slots(
    acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    team, sandbox = Queue.objects.get(name="tasks_team"), Queue.objects.get(name="tasks_sandbox")
    demand(acme_work.tenant, team, 40)
    sample_gauges()
    # Jobs of 3 s on four slots; the tenant's cap is 5.
    assert line_of(team).empty_in_seconds == pytest.approx(30)
    assert line_of(sandbox).empty_in_seconds == 0
    with all_tenants():
        Queue.objects.filter(pk=team.pk).update(cap=2)
    assert line_of(team).empty_in_seconds == pytest.approx(60)
    with all_tenants():
        # Ten jobs a minute.
        Queue.objects.filter(pk=team.pk).update(dispatches_per_minute=10)
    assert line_of(team).empty_in_seconds == pytest.approx(240)
    with all_tenants():
        pause_queue(queue=team, reason="disk is full", until=None)
    assert line_of(team).empty_in_seconds is None


def test_one_job_takes_its_own_time_on_many_slots(acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    demand(acme_work.tenant, queue, 1)
    sample_gauges()
    assert line_of(queue).empty_in_seconds == pytest.approx(3)


def test_utilisation_is_slots_in_use_by_cap(acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    run(acme_work, live_worker, queue)
    measure_queues()
    sample_gauges()
    assert line_of(queue).utilisation == pytest.approx(1 / 4)
    with all_tenants():
        Queue.objects.filter(pk=queue.pk).update(cap=2)
    assert line_of(queue).utilisation == pytest.approx(1 / 2)


def test_queue_list_shows_depth_and_stops_with_their_ends(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    busy, dataset = Queue.objects.get(name="tasks_team"), Queue.objects.get(name="dataset")
    demand(acme_work.tenant, busy, 1_234)
    with all_tenants():
        pause_queue(queue=dataset, reason="disk is full", until=timezone.now() + timedelta(hours=1))
        drain_queue(queue=busy, reason="it moves", until=None)
    sample_gauges()
    page = text_of(console(staff).get(reverse(QUEUES)).content.decode())
    assert "1,234" in page
    assert "“disk is full” until 20" in page
    assert "draining “it moves”" in page
    assert "Empty in" in page


def test_queue_pages_read_no_job_table(console: Console, staff: User, acme_work: Work) -> None:
    sample_gauges()
    client = console(staff)
    queue = Queue.objects.get(name="tasks_team")
    parts = (reverse("admin:scheduling_queue_rows"), reverse("admin:scheduling_queue_now", args=[queue.pk]))
    for url in (reverse(QUEUES), reverse("admin:scheduling_queue_change", args=[queue.pk]), *parts):
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200
        assert [query["sql"] for query in queries if JOB_TABLES.search(str(query["sql"]))] == []


def test_queue_page_shows_state_and_stops(console: Console, staff: User, acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    demand(acme_work.tenant, queue, 9)
    with all_tenants():
        pause_queue(queue=queue, reason="disk is full", until=None)
    sample_gauges()
    page = console(staff).get(reverse("admin:scheduling_queue_change", args=[queue.pk])).content.decode()
    words = text_of(page)
    assert "9 waiting" in words
    assert "disk is full" in words
    assert "Empty in" in words
    # The acts follow below.
    assert 'data-act="resume"' in page


def test_worker_page_shows_running_jobs(console: Console, staff: User, acme_work: Work, live_worker: Worker) -> None:
    run(acme_work, live_worker, Queue.objects.get(name="tasks_team"))
    client = console(staff)
    [listed] = client.get(reverse(WORKERS)).context["cl"].result_list
    assert listed.running == 1
    page = client.get(reverse("admin:scheduling_worker_change", args=[live_worker.pk])).content.decode()
    assert reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]) in page
    assert "Acme" in page
    assert 'data-act="drain"' in page


def test_worker_page_shows_the_last_blocks_of_its_loops_by_visible_jobs(
    console: Console, staff: User, acme_work: Work, live_worker: Worker, globex: Tenant
) -> None:
    note_blocks(live_worker.pk, [new_block(acme_work.waiting.pk, 0.2 + number / 1e3) for number in range(25)])
    note_blocks(live_worker.pk, [new_block(uuid7(), 7.0), new_block(acme_work.waiting.pk, 1.25)])
    page = console(staff).get(reverse("admin:scheduling_worker_change", args=[live_worker.pk])).content.decode()
    blocks = text_of(page[page.index('id="worker-blocks"') :])
    assert reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]) in page
    assert ("1,250 ms" in blocks, "224 ms" in blocks, "7,000 ms" in blocks) == (True, True, False)
    with all_tenants():
        live_worker.refresh_from_db()
        assert len(live_worker.blocks) == MOST_BLOCKS
        assert [block.milliseconds for block in list_blocks(live_worker)] == [1_250, *range(224, 206, -1)]
    with tenant_context(globex):
        assert list_blocks(live_worker) == []


def test_host_name_keeps_its_case_in_the_header(console: Console, staff: User, live_worker: Worker) -> None:
    page = console(staff).get(reverse("admin:scheduling_worker_change", args=[live_worker.pk])).content.decode()
    header = text_of(page[: page.index('id="content"')])
    assert "bench:4711" in header
    assert "Bench:4711" not in page


def test_lists_refresh_their_rows_with_filter_and_order(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    client = console(staff)
    for name, row in ((QUEUES, "tasks_team"), (WORKERS, "bench:4711")):
        asked = re.search(
            r'id="live-rows"[^>]* hx-get="([^"]+)"', client.get(reverse(name), {"o": "1"}).content.decode()
        )
        assert asked is not None
        assert asked[1].endswith("?o=1")
        part = client.get(asked[1])
        assert row in part.content.decode()
        assert "<html" not in part.content.decode()
        assert part["ETag"]
        assert client.post(asked[1]).status_code == 405


def test_unchanged_rows_are_304(console: Console, staff: User) -> None:
    client = console(staff)
    part = client.get(reverse("admin:scheduling_queue_rows"))
    again = client.get(reverse("admin:scheduling_queue_rows"), headers={"If-None-Match": part["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_state_of_a_row_is_refreshed(console: Console, staff: User, acme_work: Work, live_worker: Worker) -> None:
    queue = Queue.objects.get(name="tasks_team")
    client = console(staff)
    page = client.get(reverse("admin:scheduling_queue_change", args=[queue.pk])).content.decode()
    now = reverse("admin:scheduling_queue_now", args=[queue.pk])
    assert f'hx-get="{now}"' in page
    assert "9 waiting" not in text_of(page)
    demand(acme_work.tenant, queue, 9)
    with all_tenants():
        pause_queue(queue=queue, reason="disk is full", until=None)
    sample_gauges()
    part = client.get(now).content.decode()
    assert "9 waiting" in text_of(part)
    assert "disk is full" in part

    now = reverse("admin:scheduling_worker_now", args=[live_worker.pk])
    assert "0 / 4" in text_of(client.get(now).content.decode())
    run(acme_work, live_worker, queue)
    part = client.get(now).content.decode()
    assert "1 / 4" in text_of(part)
    assert reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]) in part
    for missing in ("admin:scheduling_queue_now", "admin:scheduling_worker_now"):
        assert client.get(reverse(missing, args=["nonsense"])).status_code == 404


def test_idle_worker_page_explains_the_empty_list(console: Console, staff: User, live_worker: Worker) -> None:
    page = console(staff).get(reverse("admin:scheduling_worker_change", args=[live_worker.pk])).content.decode()
    assert "Jobs are listed here when they start" in page
    assert console(staff).get(reverse("admin:scheduling_worker_change", args=["nonsense"])).status_code == 404


@pytest.mark.parametrize("name", ["admin:alerts", "admin:compliance"])
def test_page_of_a_missing_feature_names_alternatives(console: Console, staff: User, name: str) -> None:
    client = console(staff)
    page = client.get(reverse(name)).content.decode()
    assert "Not yet" in page
    assert reverse(name) in client.get(reverse("admin:index")).content.decode()
    links = re.findall(r'<dt><a class="console-link" href="([^"]+)"', page)
    assert links
    for link in links:
        assert client.get(link).status_code == 200, link


def test_member_is_linked_to_no_forbidden_page(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    assert client.get(reverse("admin:alerts")).status_code == 403
    page = client.get(reverse("admin:compliance")).content.decode()
    links = re.findall(r'<dt><a class="console-link" href="([^"]+)"', page)
    assert links
    for link in links:
        assert client.get(link).status_code == 200, link
