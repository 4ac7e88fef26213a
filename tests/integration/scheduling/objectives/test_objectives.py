"""Objectives: jobs are counted in time, late or excused, the counts equal a recount, and tenants see their own."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.alerts.measures import measures
from scheduling.configuration.service import ConfiguredRowTakenError
from scheduling.consistency.rollups import RollupCheck, RollupDifference
from scheduling.models import (
    AlertSilence,
    ExcusedMinute,
    Execution,
    FairShareNode,
    Objective,
    ObjectiveHour,
    StateMinute,
    TenantCapacity,
    TenantGauge,
)
from scheduling.objectives.queries import Standing, read_standings
from scheduling.objectives.service import OBJECTIVES
from scheduling.statistics.gauges import sample_gauges
from scheduling.statistics.rollups import fold_tallies
from scheduling.statistics.series import fold_series
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant, Tier
from tenants.tenancy.queries import read_pages
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
_INSERT = """
INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us, ended_at)
VALUES (%s, 1, %s, 'completed', false, %s, %s, %s, %s)
"""


def this_hour() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0)


def end(tenant: Tenant, *, wait: float, started: datetime, kind: str = "noop", took: float = 1.0) -> None:
    """Store an execution and its tally, as settlement does."""
    ended, wait_us = started + timedelta(seconds=took), int(wait * 1e6)
    with all_tenants():
        Execution.objects.create(
            id=uuid7(),
            tenant=tenant,
            job_id=uuid7(),
            queue_id=1,
            kind=kind,
            number=1,
            fence=1,
            outcome="completed",
            predicted_us=1,
            measured_us=int(took * 1e6),
            dispatched_at=started,
            started_at=started,
            ended_at=ended,
            wait_us=wait_us,
        )
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [tenant.pk, kind, wait_us, started, int(took * 1e6), ended])


def create(tenant: Tenant | None = None, **values: Any) -> Objective:
    with all_tenants() if tenant is None else tenant_context(tenant):
        return OBJECTIVES.save(Objective(), {"name": "soon", **values})


def hold(tenant: Tenant, minute: datetime, states: int) -> None:
    with all_tenants():
        StateMinute.objects.create(tenant=tenant, queue_id=1, minute=minute, states=states)


def standing(objective: Objective) -> Standing:
    fold_tallies()
    fold_series()
    with all_tenants():
        (found,) = read_standings([objective])
    return found


def differences(hours: int = 4) -> list[RollupDifference]:
    check = RollupCheck(this_hour() - timedelta(hours=hours), this_hour())
    return [row for page in read_pages() for row in check.check_page(page)] + check.finish()


def test_jobs_within_the_target_are_good_and_later_ones_late(acme: Tenant, globex: Tenant) -> None:
    objective = create(acme)
    at = timezone.now().replace(second=0) - timedelta(minutes=1)
    for wait in (0.5, 59.9, 60.0, 4_000.0):
        end(acme, wait=wait, started=at)
    end(globex, wait=4_000.0, started=at)
    found = standing(objective).counts
    assert (found.good, found.late, found.excused) == (2, 2, {})


@pytest.mark.parametrize(("tier", "kind", "good"), [("team", "", 3), (None, "noop", 3), ("team", "noop", 2)])
def test_objective_of_the_platform_covers_its_tier_or_kind(
    acme: Tenant, globex: Tenant, tier: str | None, kind: str, good: int
) -> None:
    objective = create(tier=tier and Tier.objects.get(pk=tier), kind=kind)
    at = this_hour() - timedelta(minutes=30)
    for tenant, of_kind in ((acme, "noop"), (acme, "noop"), (globex, "noop"), (acme, "sleep")):
        end(tenant, wait=1, started=at, kind=of_kind)
    assert standing(objective).counts.good == good


@pytest.mark.parametrize(
    ("states", "excuse"), [(1, "pause"), (3, "pause"), (2, "cap"), (4, "quota"), (8, "maintenance"), (16, "share")]
)
def test_late_job_is_excused_by_the_first_state_of_its_wait(acme: Tenant, states: int, excuse: str) -> None:
    objective = create(acme)
    at = this_hour() - timedelta(minutes=30)
    hold(acme, at - timedelta(minutes=3), states)
    end(acme, wait=200, started=at)
    end(acme, wait=100, started=at)
    end(acme, wait=30, started=at)
    found = standing(objective).counts
    assert (found.good, found.late, found.excused) == (1, 1, {excuse: 1})


def test_without_an_objective_nothing_is_excused(acme: Tenant) -> None:
    at = this_hour() - timedelta(minutes=30)
    hold(acme, at - timedelta(minutes=3), 1)
    end(acme, wait=200, started=at)
    fold_tallies()
    with all_tenants():
        assert not ExcusedMinute.objects.exists()


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_a_recount_of_history_in_any_order_of_folds(acme: Tenant, globex: Tenant, seed: int) -> None:
    chance = random.Random(seed)
    objectives = [create(acme, target_seconds=chance.choice([60, 300])), create(kind="noop")]
    with all_tenants():
        Objective.objects.update(created_at=this_hour() - timedelta(days=1))
    first = this_hour() - timedelta(hours=3)
    for minute in range(0, 150, 7):
        hold(chance.choice([acme, globex]), first + timedelta(minutes=minute), chance.randrange(1, 32))
    expected: dict[str, list[int]] = {objective.pk: [0, 0] for objective in objectives}
    for _ in range(80):
        tenant, kind = chance.choice([acme, globex]), chance.choice(["noop", "sleep"])
        wait = chance.choice([1, 50, 70, 200, 400, 2_000])
        end(tenant, wait=wait, started=first + timedelta(seconds=chance.randrange(8_000)), kind=kind)
        for objective in objectives:
            if (objective.tenant_id or tenant.pk) == tenant.pk and objective.kind in ("", kind):
                expected[objective.pk][wait >= objective.target_seconds] += 1
        if chance.random() < 0.2:
            fold_tallies(limit=chance.randrange(1, 9))
            fold_series()
    for objective in objectives:
        found = standing(objective).counts
        assert [found.good, found.late + sum(found.excused.values())] == expected[objective.pk]
    assert differences() == []
    with all_tenants():
        ObjectiveHour.objects.filter(objective=objectives[0]).update(good=7)
    assert {row.rollup for row in differences()} == {"objective-hour"}
    with all_tenants():
        ExcusedMinute.objects.update(wait=[1] * 19)
    assert "excused-minute" in {row.rollup for row in differences()}


def test_states_of_waiting_jobs_are_sampled(acme: Tenant, globex: Tenant) -> None:
    create(acme)
    submit(acme)
    submit(globex)
    with all_tenants():
        FairShareNode.objects.update(waiting=1)
        Tenant.objects.filter(pk=acme.pk).update(is_paused=True)
        TenantCapacity.objects.filter(tenant=globex).update(in_flight=10**6)
    sample_gauges()
    with all_tenants():
        states = {row.tenant_id: row.states for row in StateMinute.objects.all()}
    assert states == {acme.pk: 1, globex.pk: 2}
    with all_tenants():
        now = timezone.now()
        AlertSilence.objects.create(
            starts_at=now - timedelta(minutes=1),
            ends_at=now + timedelta(minutes=9),
            is_maintenance=True,
            reason="move",
            only_tenant=globex.pk,
        )
    sample_gauges()
    with all_tenants():
        states = {row.tenant_id: row.states for row in StateMinute.objects.all()}
        assert TenantGauge.objects.exists()
    assert states == {acme.pk: 1, globex.pk: 10}


def test_burn_rate_is_a_measure_of_alerts(acme: Tenant) -> None:
    objective = create(acme)
    at = timezone.now().replace(second=0) - timedelta(minutes=1)
    for _ in range(60):
        end(acme, wait=100, started=at)
    assert standing(objective).burn_hour == pytest.approx(20)
    with all_tenants():
        (sample,) = measures()["objective_burn"].read(timezone.now())
    assert (sample.object_key, sample.tenant_id) == (f"objective:{objective.pk}", acme.pk)
    assert sample.value == pytest.approx(20)


def test_tenant_sees_only_its_own_objectives_and_counts(acme: Tenant, globex: Tenant) -> None:
    own = create(acme)
    for objective in (create(globex), create(kind="noop"), own):
        end(acme, wait=1, started=this_hour() - timedelta(minutes=5))
        standing(objective)
    with tenant_context(acme), connection.cursor() as cursor:
        assert list(Objective.objects.all()) == [own]
        cursor.execute("SELECT DISTINCT objective_id FROM scheduling_objective_hour")
        assert cursor.fetchall() == [(own.pk,)]
        cursor.execute("SELECT DISTINCT tenant_id FROM scheduling_objective_minute")
        assert cursor.fetchall() == [(acme.pk,)]


def test_changed_promise_begins_counts_again_and_is_audited(acme: Tenant) -> None:
    objective = create(acme)
    end(acme, wait=100, started=this_hour() - timedelta(hours=3))
    assert standing(objective).counts.late == 1
    with tenant_context(acme):
        OBJECTIVES.save(objective, {"target_share": 0.9})
    assert standing(objective).counts.late == 1
    with tenant_context(acme):
        OBJECTIVES.save(objective, {"target_seconds": 300})
    assert standing(objective).counts.counted == 0
    with tenant_context(acme):
        OBJECTIVES.delete(objective)
        actions = set(AuditLogEntry.objects.filter(action__startswith="objective.").values_list("action", flat=True))
    assert actions == {"objective.created", "objective.changed", "objective.deleted"}


def test_objective_that_covers_nothing_or_has_a_taken_name_is_refused(acme: Tenant) -> None:
    create(acme)
    with pytest.raises(ConfiguredRowTakenError):
        create(acme)
    with pytest.raises(FieldInvalidError, match="Choose a tier"):
        create()
    with pytest.raises(FieldInvalidError, match="target_share"):
        create(acme, name="much", target_share=2.0)
