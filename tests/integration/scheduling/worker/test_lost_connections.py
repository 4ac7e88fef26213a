"""A child outlives the database's absence: no slot stays held for work that nobody does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import current_app
from django.db import OperationalError, connection
from django_celery_beat import schedulers
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling.celery.beat import BeatingScheduler
from scheduling.dispatch.tick import run_tick
from scheduling.execution import message as execution
from scheduling.models import LiveExecution, Worker, WorkerPool
from scheduling.worker import celery_worker, connections
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.acts import submit
from tests.integration.scheduling.worker.conftest import outcomes

pytestmark = pytest.mark.django_db(transaction=True)


def refuse(*_: object, **__: object) -> None:
    raise OperationalError("connection refused")


@pytest.fixture
def is_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The database goes away: the connection is lost, and there is no other."""

    def leave() -> None:
        connection.close()
        monkeypatch.setattr(connection, "connect", refuse)

    return leave


def test_worker_that_stops_without_a_database_leaves_it_to_its_lease(
    local: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_worker, "RETIRE_SECONDS", 0.1)
    with monkeypatch.context() as away:
        connection.close()
        away.setattr(connection, "connect", refuse)
        celery_worker.report_stop(local.registration.worker_id, reason="")
    with all_tenants():
        assert Worker.objects.get(pk=local.registration.worker_id).status == Worker.Status.ONLINE
    celery_worker.report_stop(local.registration.worker_id, reason="")
    with all_tenants():
        assert Worker.objects.get(pk=local.registration.worker_id).status == Worker.Status.STOPPED


def test_beat_keeps_its_schedule_while_the_database_is_away_and_reads_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(name: str) -> None:
        PeriodicTask.objects.create(name=name, task="scheduling.submit", interval=daily)

    daily = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    add("nightly")
    scheduler = BeatingScheduler(app=current_app, lazy=True)
    assert "nightly" in scheduler.schedule
    add("other")
    with monkeypatch.context() as away:
        connection.close()
        away.setattr(connection, "connect", refuse)
        # All entries are read each time, as every five minutes.
        away.setattr(schedulers, "SCHEDULE_SYNC_MAX_INTERVAL", 0)
        assert {"nightly", "other"} & set(scheduler.schedule) == {"nightly"}
    assert {"nightly", "other"} <= set(scheduler.schedule)


def test_a_connection_that_is_gone_has_no_open_transaction(is_away: Callable[[], None]) -> None:
    is_away()
    assert connections.drop_open_transaction() is False


def test_a_transaction_left_open_is_dropped_though_no_other_connection_is_to_be_had(
    is_away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.set_autocommit(False)
    with monkeypatch.context() as away:
        away.setattr(connection, "connect", refuse)
        assert connections.drop_open_transaction() is True
    connection.set_autocommit(True)


def test_a_slot_is_free_when_its_child_goes_on_without_its_job(
    acme: Tenant, local: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is renewed no more, so that the job is rescued soon, and not when its time is up."""
    (job,) = submit(acme)
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    monkeypatch.setattr(execution, "see_through", refuse)
    with pytest.raises(OperationalError):
        execution.execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
    assert list(local.block.held_slots()) == []
    assert outcomes(job) == []
