"""Hours of series: they equal the sums of executions, whatever the order of folds, and the heat map shows them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.jobs.filters import parse
from scheduling.models import SeriesHour
from scheduling.statistics import series
from scheduling.statistics.heat_map import HeatChoice, HeatMap, HeatMeasure, HeatSpan, read_heat
from scheduling.statistics.heat_page import cell_link
from scheduling.statistics.rollups import fold_tallies
from scheduling.statistics.series import SeriesFolder, fold_series, read_hours
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import Tenant

pytestmark = pytest.mark.django_db
Rows = SeriesHour.Scope
WORKER = uuid7()
_INSERT = """
INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us, worker_id,
    ended_at) VALUES (%s, %s, %s, %s, false, %s, %s, %s, %s, %s)
"""


def end(
    tenant: Tenant,
    *,
    kind: str = "noop",
    outcome: str = "completed",
    at: datetime,
    wait: float = 1.0,
    took: float = 1.0,
    worker: UUID | None = None,
) -> None:
    with all_tenants(), connection.cursor() as cursor:
        started = at - timedelta(seconds=took)
        row = [tenant.pk, 1, kind, outcome, int(wait * 1e6), started, int(took * 1e6), worker, at]
        cursor.execute(_INSERT, row)


def this_hour() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0)


def counts(scope: SeriesHour.Scope, tenant: Tenant | None = None) -> Counter[str]:
    with all_tenants():
        rows = read_hours(scope, since=this_hour() - timedelta(days=1), tenant_id=tenant.pk if tenant else None)
        return sum((Counter({row.name: row.completed + row.failed}) for row in rows), Counter())


def test_hours_of_each_scope_are_the_sums_of_their_executions(acme: Tenant, globex: Tenant) -> None:
    at = this_hour() - timedelta(minutes=30)
    for tenant, kind in ((acme, "noop"), (acme, "noop"), (acme, "sleep"), (globex, "noop")):
        end(tenant, kind=kind, at=at, worker=WORKER)
    fold_tallies()
    assert fold_series() >= 1
    assert counts(Rows.KIND) == {"noop": 3, "sleep": 1}
    assert counts(Rows.KIND, acme) == {"noop": 2, "sleep": 1}
    assert counts(Rows.TENANT) == {str(acme.pk): 3, str(globex.pk): 1}
    assert counts(Rows.WORKER) == {str(WORKER): 4}
    assert list(counts(Rows.QUEUE, globex).values()) == [1]
    with all_tenants():
        (row,) = read_hours(Rows.KIND, since=at - timedelta(hours=1), tenant_id=acme.pk).filter(name="sleep")
    assert (sum(row.wait), sum(row.run), row.busy_us) == (1, 1, 1_000_000)


def test_each_count_is_added_once_whatever_the_limit_of_a_turn(acme: Tenant) -> None:
    for hours in (1, 2, 3):
        end(acme, at=this_hour() - timedelta(hours=hours, minutes=4, seconds=30))
    fold_tallies()
    assert [fold_series(limit=2) for _ in range(3)] == [2, 1, 0]
    assert counts(Rows.KIND) == {"noop": 3}


def test_execution_that_is_folded_late_is_added_to_its_hour(acme: Tenant) -> None:
    at = this_hour() - timedelta(hours=5, minutes=4, seconds=30)
    for outcome in ("completed", "failed"):
        end(acme, at=at, outcome=outcome)
        fold_tallies()
        assert fold_series() == 1
    assert counts(Rows.KIND) == {"noop": 2}


def test_turn_that_is_full_is_followed_sooner_by_the_next(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "TURN_ROWS", 1)
    end(acme, at=this_hour() - timedelta(hours=1, minutes=4, seconds=30))
    fold_tallies()
    folder = SeriesFolder()
    turns = [(folder.take_turn(), folder.interval_seconds()) for _ in range(2)]
    assert turns == [(1, series.NEXT_SECONDS), (0, series.SERIES_SECONDS)]


def test_tenant_reads_only_its_own_hours(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        end(tenant, at=this_hour(), worker=WORKER)
    fold_tallies()
    fold_series()
    with tenant_context(acme), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM scheduling_series_hour")
        assert cursor.fetchall() == [(acme.pk,)]
        cursor.execute("SELECT DISTINCT tenant_id FROM scheduling_kind_minute")
        assert cursor.fetchall() == [(acme.pk,)]


def heat_of(choice: HeatChoice) -> HeatMap:
    with all_tenants():
        return read_heat(choice)


@pytest.mark.parametrize(
    ("measure", "value"), [("ended", 4), ("failures", 1), ("wait_p95", 26.0), ("run_p95", 26.0), ("slot_seconds", 80)]
)
def test_map_shows_each_measure_of_its_hour(acme: Tenant, measure: str, value: float) -> None:
    at = this_hour() - timedelta(minutes=2)
    for number in range(4):
        end(acme, at=at, outcome="failed" if number == 0 else "completed", wait=20, took=20)
    fold_tallies()
    fold_series()
    (row,) = heat_of(HeatChoice(measure=HeatMeasure(measure))).rows
    cells = {cell.since: cell.value for cell in row.cells if cell.value}
    hour = at.replace(minute=0, second=0)
    assert set(cells) == {hour}
    # Between 10 and 30 s, the bounds of the bucket.
    assert cells[hour] == pytest.approx(value, abs=4 if "p95" in measure else 0)


def test_week_adds_up_hours_by_four(acme: Tenant) -> None:
    now = this_hour()
    block = now - timedelta(hours=now.hour % 4 + 4)
    for hours in (0, 3, 4):
        end(acme, at=block + timedelta(hours=hours, minutes=-1 if hours == 4 else 5))
    fold_tallies()
    fold_series()
    (row,) = heat_of(HeatChoice(span=HeatSpan.WEEK)).rows
    assert len(row.cells) == 42
    assert {cell.since: cell.value for cell in row.cells if cell.value} == {block: 3}


def test_each_cell_links_to_jobs_by_a_filter_that_parses(acme: Tenant) -> None:
    end(acme, at=this_hour(), outcome="failed")
    fold_tallies()
    fold_series()
    for rows in (Rows.KIND, Rows.QUEUE, Rows.TENANT):
        heat = heat_of(HeatChoice(measure=HeatMeasure.FAILURES, rows=rows))
        (row,) = heat.rows
        links = [cell_link(heat, row.name, cell) for cell in row.cells]
        (link,) = filter(None, links)
        (text,) = parse_qs(urlsplit(link).query)["q"]
        assert len(parse(text).terms) == 4
