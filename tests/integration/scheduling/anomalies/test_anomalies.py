"""Anomalies: hours are summarized and learned, deviations are stored and measured, and tenants see their own."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.alerts.measures import measures
from scheduling.anomalies import baselines, duty
from scheduling.anomalies.duty import AnomalyWatch
from scheduling.anomalies.words import read_bands
from scheduling.models import Anomaly, RollupClock, SeriesBaseline, SeriesSummary
from scheduling.statistics.histogram import BUCKETS
from scheduling.upkeep.registry import UpkeepBudget
from tenants.access.api_keys import issue_api_key
from tenants.access.permissions import Permission
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant

pytestmark = pytest.mark.django_db
_MINUTE = """
INSERT INTO scheduling_kind_minute
    (tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us, wait, run)
SELECT %(tenant)s, at, 'noop', 1, %(ended)s - %(failed)s, %(failed)s, 0, 0, %(histogram)s, %(histogram)s
FROM generate_series(%(since)s::timestamptz, %(until)s, interval '1 minute') AS at
ON CONFLICT (tenant_id, minute, kind, queue_id) DO UPDATE SET completed = excluded.completed, failed = excluded.failed
"""
_HOURS = """
INSERT INTO scheduling_series_hour (scope, tenant_id, name, hour, completed, failed, dead_letters, busy_us, wait, run)
SELECT scope, owner, name, date_trunc('hour', now()) - n * interval '1 hour', 6000, 0, 0, 0, '{}', '{}'
FROM generate_series(0, 71) AS n CROSS JOIN (VALUES ('kind', NULL, 'noop'), ('kind', %(tenant)s::uuid, 'noop'),
    ('tenant', NULL, %(tenant)s::text), ('worker', NULL, %(tenant)s::text)) AS v (scope, owner, name)
"""


def run_minutes(tenant: Tenant, since: datetime, until: datetime, *, ended: int = 100, failed: int = 0) -> None:
    histogram = [ended * (at == 3) for at in range(BUCKETS)]
    values = {"tenant": tenant.pk, "since": since, "until": until, "ended": ended, "failed": failed}
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_MINUTE, {**values, "histogram": histogram})


def tend() -> list[dict[str, int]]:
    cursor: Any = {}
    counts = []
    while True:
        step = baselines.tend_baselines(UpkeepBudget(1_000, 10.0, cursor))
        counts.append(dict(step.counts))
        cursor = step.cursor
        if not step.has_more:
            return counts


def look(watch: AnomalyWatch, at: datetime) -> int:
    """Let a dispatcher judge what is counted until a time."""
    with all_tenants():
        RollupClock.objects.update_or_create(id=1, defaults={"folded_at": at})
    return watch.take_turn()


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def learned(acme: Tenant, now: datetime) -> Tenant:
    """Three days of 100 runs a minute."""
    minute = now.replace(second=0, microsecond=0)
    run_minutes(acme, minute - timedelta(hours=71), minute - timedelta(minutes=1))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_HOURS, {"tenant": acme.pk})
    assert any(counts.get("series_learned") for counts in tend())
    return acme


def test_series_are_summarized_and_learned_once(learned: Tenant) -> None:
    with all_tenants():
        series = set(SeriesBaseline.objects.values_list("scope", "tenant", "name"))
        hours = SeriesSummary.objects.filter(scope="kind", tenant=None).count()
    assert series == {("kind", None, "noop"), ("kind", learned.pk, "noop"), ("tenant", learned.pk, str(learned.pk))}
    assert 69 <= hours <= 71
    assert tend()[-1] == {"series_learned": 0, "level_changes": 0}


def test_deviation_is_stored_measured_and_ends(learned: Tenant, now: datetime) -> None:
    minute, watch = now.replace(second=0, microsecond=0), AnomalyWatch()
    run_minutes(learned, minute - timedelta(minutes=1), minute, ended=100, failed=80)
    assert look(watch, now) == 3
    with all_tenants():
        samples = {sample.object_key: sample for sample in measures()["anomaly"].read(now)}
        (found,) = Anomaly.objects.filter(scope="kind", tenant=None)
    assert set(samples) == {
        "series:kind:noop:failures",
        f"series:kind:noop:failures@{learned.pk}",
        f"series:tenant:{learned.pk}:failures",
    }
    assert samples["series:kind:noop:failures"].value >= 1
    assert (found.measure, found.ended_at) == ("failures", None)
    assert found.value > 0.5 > found.high
    run_minutes(learned, minute - timedelta(minutes=1), minute)
    # Past minutes are not read again by the same dispatcher.
    watch = AnomalyWatch()
    assert look(watch, now) == 3
    with all_tenants():
        Anomaly.objects.update(seen_at=now - duty.CALM)
    assert look(watch, now) == 0
    with all_tenants():
        assert not list(measures()["anomaly"].read(now))


def test_deviation_continues_in_one_row_that_keeps_the_worst_value(learned: Tenant, now: datetime) -> None:
    minute, watch = now.replace(second=0, microsecond=0), AnomalyWatch()
    at = minute + timedelta(seconds=30)
    assert look(watch, at - timedelta(seconds=30)) == 0
    for number, failed in enumerate((70, 95, 60)):
        run_minutes(learned, minute + timedelta(minutes=number), minute + timedelta(minutes=number), failed=failed)
        look(watch, at + timedelta(minutes=number))
    with all_tenants():
        (found,) = Anomaly.objects.filter(scope="kind", tenant=None, measure="failures")
    assert found.value == pytest.approx((70 + 95) / 200)
    assert (found.began_at, found.seen_at) == (at, at + timedelta(minutes=2))


def test_nothing_is_judged_while_counts_are_late(learned: Tenant, now: datetime) -> None:
    minute = now.replace(second=0, microsecond=0)
    run_minutes(learned, minute - timedelta(minutes=1), minute, failed=80)
    assert look(AnomalyWatch(), now - timedelta(minutes=2)) == 0
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, measured_us, ended_at)"
            " VALUES (%s, 1, 'noop', 'completed', false, 0, now() - interval '1 minute')",
            [learned.pk],
        )
    assert look(AnomalyWatch(), now) == 0


def test_tenants_see_their_own_series_only(learned: Tenant, globex: Tenant, now: datetime) -> None:
    minute = now.replace(second=0, microsecond=0)
    run_minutes(learned, minute - timedelta(minutes=1), minute, failed=80)
    look(AnomalyWatch(), now)
    with tenant_context(learned):
        assert set(Anomaly.objects.values_list("scope", flat=True)) == {"kind", "tenant"}
        assert set(SeriesBaseline.objects.values_list("tenant", flat=True)) == {learned.pk}
    with tenant_context(globex):
        assert not Anomaly.objects.exists()
        assert not SeriesBaseline.objects.exists()
        assert not SeriesSummary.objects.exists()


def test_level_that_has_changed_for_hours_is_stored_and_becomes_usual(learned: Tenant, now: datetime) -> None:
    this = baselines.hour_number(now - baselines.COMPLETE_AFTER)
    with all_tenants():
        row = SeriesSummary.objects.get(scope="kind", tenant=None, hour=baselines.hour_start(this - 1))
        changed = {
            measure: [x + (measure == "run") * 2 for x in numbers[:4]] + numbers[4:]
            for measure, numbers in row.numbers.items()
        }
        for ago in range(1, 5):
            SeriesSummary.objects.filter(scope="kind", tenant=None, hour=baselines.hour_start(this - ago)).update(
                numbers=changed
            )
        assert baselines.note_changes(now) == 1
        (found,) = Anomaly.objects.filter(is_change=True)
        assert (found.measure, found.ended_at) == ("run", None)
        Anomaly.objects.update(began_at=now - timedelta(days=2), seen_at=now)
        SeriesBaseline.objects.update(learned_at=now - timedelta(days=2))
        assert baselines.learn_series(now) == 3


def test_chart_has_band_and_words(learned: Tenant, now: datetime) -> None:
    with all_tenants():
        known = read_bands("kind", "noop", [now, now])
        unknown = read_bands("kind", "other", [now])
    low, high = known[duty.Measure.RATE].ranges[0]
    assert (round(low), round(high)) == (100, 100)
    assert "30 runs" in known[duty.Measure.RATE].words
    assert (unknown[duty.Measure.RATE].ranges, "a day" in unknown[duty.Measure.RATE].words) == ((), True)


def test_command_lists_anomalies(learned: Tenant, now: datetime, capsys: pytest.CaptureFixture[str]) -> None:
    minute = now.replace(second=0, microsecond=0)
    run_minutes(learned, minute - timedelta(minutes=1), minute, failed=80)
    look(AnomalyWatch(), now)
    call_command("list_anomalies", tenant=learned.slug)
    assert f"tenant:{learned.slug} failures" in capsys.readouterr().out
    call_command("list_anomalies", json=True)
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_api_returns_anomalies_and_what_is_usual(learned: Tenant, now: datetime) -> None:
    minute = now.replace(second=0, microsecond=0)
    run_minutes(learned, minute - timedelta(minutes=1), minute, failed=80)
    look(AnomalyWatch(), now)
    key = issue_api_key(tenant=learned, name="reader", scopes=[Permission.JOBS_VIEW]).token
    client = APIClient(headers={"Authorization": f"Api-Key {key}"})
    rows = client.get("/api/v1/anomalies/", {"state": "open"}).json()["results"]
    assert {(row["series"], row["measure"]) for row in rows} == {
        ("kind:noop", "failures"),
        (f"tenant:{learned.pk}", "failures"),
    }
    assert client.get("/api/v1/anomalies/", {"state": "ended"}).json()["results"] == []
    found = client.get("/api/v1/baselines/", {"series": "kind:noop"}).json()
    assert {row["measure"]: len(row["ranges"]) for row in found["measures"]} == dict.fromkeys(
        ("failures", "rate", "result", "run", "wait"), 1
    )
    assert client.get("/api/v1/baselines/", {"series": "worker:1"}).status_code == 422
