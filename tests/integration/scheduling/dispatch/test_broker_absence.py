"""An unreachable broker: no jobs are claimed, and the waiting reason names the broker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.dispatch.broker_faults import record_broker_outage
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import PoolClock, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Tick, reasons_of, reload, submit

pytestmark = pytest.mark.django_db


def last_ticked(seconds_ago: float) -> None:
    with all_tenants():
        PoolClock.objects.update(ticked_at=Now() - timedelta(seconds=seconds_ago))


def codes(job: object) -> list[str]:
    with all_tenants():
        return [reason.code for reason in reasons_of(job)]  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds_ago", [3, 60])
def test_broker_outage_is_the_waiting_reason_however_old_the_last_tick(
    acme: Tenant, pool: WorkerPool, worker: Registration, seconds_ago: int
) -> None:
    (job,) = submit(acme)
    last_ticked(seconds_ago)
    record_broker_outage([pool.pk])
    assert codes(job) == ["broker_away"]
    with tenant_context(acme):
        explanation = why_waiting(job)
    assert explanation is not None
    assert explanation.start is None
    assert "broker is unavailable" in explanation.no_start_because


def test_first_tick_ends_the_broker_outage(acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick) -> None:
    (job,) = submit(acme)
    last_ticked(3)
    record_broker_outage([pool.pk])
    tick()
    with all_tenants():
        assert PoolClock.objects.get(pool=pool).broker_away_at is None
    assert reload(job).state == JobState.DISPATCHED


def test_outage_seen_by_one_dispatcher_only_is_not_a_reason(
    acme: Tenant, pool: WorkerPool, worker: Registration
) -> None:
    (job,) = submit(acme)
    last_ticked(1)
    record_broker_outage([pool.pk])
    assert codes(job) == ["waiting_for_turn"]


def test_outage_expires_once_it_is_no_longer_reported(acme: Tenant, pool: WorkerPool, worker: Registration) -> None:
    (job,) = submit(acme)
    last_ticked(60)
    record_broker_outage([pool.pk])
    with all_tenants():
        PoolClock.objects.update(broker_away_at=F("broker_away_at") - timedelta(seconds=10))
    assert codes(job) == ["no_dispatcher"]


def test_broker_refusing_messages_is_a_waiting_reason(
    acme: Tenant, worker: Registration, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(hints: Sequence[Hint]) -> Sequence[Hint]:
        return hints

    monkeypatch.setattr(publishing, "publish", refuse)
    (job,) = submit(acme)
    assert tick().unpublished == 1
    assert codes(job) == ["broker_away"]
