"""Lost connections: a child survives a database outage, and no slot stays occupied without a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import current_app
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat import schedulers
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling.celery.beat import BeatingScheduler
from scheduling.dispatch.tick import run_tick
from scheduling.execution import message as execution
from scheduling.models import LiveExecution, Worker, WorkerPool
from scheduling.worker import celery_worker, process_state
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import outcomes

pytestmark = pytest.mark.django_db(transaction=True)


def refuse(*_: object, **__: object) -> None:
    raise OperationalError("connection refused")


@pytest.fixture
def is_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lose the connection to the database, and refuse new ones."""

    def leave() -> None:
        connection.close()
        monkeypatch.setattr(connection, "connect", refuse)

    return leave


def test_worker_stopping_without_a_database_is_left_to_its_lease(
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


def test_beat_keeps_its_schedule_during_an_outage_and_reloads_it(monkeypatch: pytest.MonkeyPatch) -> None:
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
        # Read all entries each time, as every five minutes.
        away.setattr(schedulers, "SCHEDULE_SYNC_MAX_INTERVAL", 0)
        assert {"nightly", "other"} & set(scheduler.schedule) == {"nightly"}
    assert {"nightly", "other"} <= set(scheduler.schedule)


def test_beat_sends_a_due_task_once_during_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    daily = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    two_days_ago = timezone.now() - timedelta(days=2)
    PeriodicTask.objects.create(
        name="nightly", task="scheduling.submit", interval=daily, last_run_at=two_days_ago, start_time=two_days_ago
    )
    scheduler = BeatingScheduler(app=current_app, lazy=True)
    assert "nightly" in scheduler.schedule
    sent: list[str] = []
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer: sent.append(entry.name))
    with monkeypatch.context() as away:
        connection.close()
        away.setattr(connection, "connect", refuse)
        # Read all entries each time, as every five minutes.
        away.setattr(schedulers, "SCHEDULE_SYNC_MAX_INTERVAL", 0)
        for _ in range(50):
            scheduler.tick()
    assert sent.count("nightly") == 1
    scheduler.tick()
    assert sent.count("nightly") == 1
    scheduler.close()


def test_run_that_cannot_be_stored_is_not_repeated_by_the_next_read(monkeypatch: pytest.MonkeyPatch) -> None:
    daily = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    two_days_ago = timezone.now() - timedelta(days=2)
    task = PeriodicTask.objects.create(
        name="nightly", task="scheduling.submit", interval=daily, last_run_at=two_days_ago, start_time=two_days_ago
    )
    scheduler = BeatingScheduler(app=current_app, lazy=True)
    scheduler.reserve(scheduler.schedule["nightly"])
    # As after a change of a task, all entries are read again each time.
    monkeypatch.setattr(schedulers, "SCHEDULE_SYNC_MAX_INTERVAL", 0)
    with monkeypatch.context() as read_only:
        read_only.setattr(PeriodicTask, "save", refuse)
        assert not scheduler.schedule["nightly"].is_due().is_due
    assert not scheduler.schedule["nightly"].is_due().is_due
    task.refresh_from_db()
    assert task.total_run_count == 1


def test_lost_connection_has_no_open_transaction(is_away: Callable[[], None]) -> None:
    is_away()
    assert process_state.drop_open_transaction() is False


def test_open_transaction_is_dropped_without_a_new_connection(
    is_away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.set_autocommit(False)
    with monkeypatch.context() as away:
        away.setattr(connection, "connect", refuse)
        assert process_state.drop_open_transaction() is True
    connection.set_autocommit(True)


def test_slot_is_free_when_its_child_continues_without_the_job(
    acme: Tenant, local: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop renewing its lease, so that the job is rescued soon and not at its time limit."""
    (job,) = submit(acme)
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    monkeypatch.setattr(execution, "run_execution", refuse)
    with pytest.raises(OperationalError):
        execution.execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
    assert list(local.block.held_slots()) == []
    assert outcomes(job) == []
