"""Queue alarms: a needed queue without a reader raises one alarm, shown everywhere, which ends by itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.diagnosis.service import Health, diagnose
from scheduling.execution.leases import heartbeat
from scheduling.fleet.queue_consumers import measure_queues
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.models import Queue, QueueStanding, RoutingRule, Worker, WorkerPool
from scheduling.observability.measures import read_measures
from scheduling.overview.queries import read_overview
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Tick, submit, use_one_pool

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def far(db: None) -> Queue:
    """Create a queue in its own pool, with a routing rule to it; the tiers' queues are in the pool `default` only."""
    use_one_pool()
    with all_tenants():
        pool = WorkerPool.objects.create(name="far")
        queue = Queue.objects.create(name="far", pool=pool)
        RoutingRule.objects.create(position=1, kind="rag_pipeline", queue=queue)
    return queue


def alarms() -> set[str]:
    return set(QueueStanding.objects.filter(unread_since__isnull=False).values_list("queue__name", flat=True))


def unread_measure(name: str) -> bool:
    """Return the metric of unread queues."""
    with all_tenants():
        (queue,) = [queue for queue in read_measures(tenant_limit=1).queues if queue.name == name]
    return queue.is_unread


def read_by(pool: WorkerPool, *queues: str, slots: int = 1) -> Worker:
    with all_tenants():
        now = read_moment()
        return Worker.objects.create(
            pool=pool, hostname="h", pid=1, slots=slots, started_at=now, heartbeat_at=now, queues=list(queues)
        )


def test_queue_with_routing_rules_needs_a_reader(far: Queue, worker: Registration) -> None:
    assert measure_queues() == {"far": True}
    assert alarms() == {"far"}
    read_by(far.pool, "far")
    assert measure_queues() == {"far": False}
    assert alarms() == set()


def test_tiers_queues_of_asynchronous_kinds_need_a_reader(worker: Registration) -> None:
    unread = {"workflow_sandbox": True, "workflow_team": True, "workflow_professional": True}
    assert measure_queues() == unread
    register_worker(pool_name="io", hostname="h", pid=1, slots=100)
    assert measure_queues() == dict.fromkeys(unread, False)


def test_alarm_is_logged_once_and_so_is_its_end(
    far: Queue, worker: Registration, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scheduling.fleet.queue_consumers"):
        for _ in range(3):
            measure_queues()
        since = QueueStanding.objects.get(queue=far).unread_since
        reader = read_by(far.pool, "far")
        for _ in range(3):
            measure_queues()
        retire_worker(worker_id=reader.pk, reason="")
        measure_queues()
    logged = [record.message for record in caplog.records]
    assert logged == ["queue.without_consumer", "queue.consumer_back", "queue.without_consumer"]
    again = QueueStanding.objects.get(queue=far).unread_since
    assert since is not None
    assert again is not None
    assert again >= since


def test_queue_with_waiting_jobs_and_no_rules_needs_a_reader(acme: Tenant, far: Queue, tick: Tick) -> None:
    measure_queues()
    assert "tasks_team" in alarms()
    with all_tenants():
        RoutingRule.objects.filter(by_tier=True).update(is_active=False)
        RoutingRule.objects.create(position=2, queue=Queue.objects.get(name="tasks_team"))
    submit(acme, 1)
    tick()
    with all_tenants():
        RoutingRule.objects.filter(position=2).update(is_active=False)
    measure_queues()
    assert "tasks_team" in alarms()
    assert "tasks_sandbox" not in alarms()


def test_worker_without_the_queue_is_no_reader(far: Queue, worker: Registration) -> None:
    """Cover a worker that has not yet read the queues added since its start."""
    read_by(far.pool, "another")
    measure_queues()
    assert alarms() == {"far"}
    with all_tenants():
        Worker.objects.filter(pool=far.pool).update(status=Worker.Status.DRAINING, queues=["far"])
    measure_queues()
    assert alarms() == {"far"}


def test_heartbeat_reports_and_returns_queue_names(worker: Registration) -> None:
    with all_tenants():
        Queue.objects.create(name="new", pool_id=worker.pool_id)
    beat = heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[], queues=["dataset"])
    assert "new" in beat.queue_names
    assert "maintenance" not in beat.queue_names
    assert Worker.objects.get(pk=worker.worker_id).queues == ["dataset"]


def test_alarm_is_shown_on_overview_api_diagnosis_and_metrics(far: Queue, worker: Registration, staff: Any) -> None:
    measure_queues()
    with all_tenants():
        assert [queue.name for queue in read_overview().unread_queues] == ["far"]
    client = APIClient()
    client.force_login(staff)
    page = client.get("/admin/overview/").content.decode()
    assert "No worker consumes the queue far" in page
    assert client.get("/api/v1/queues/far/").json()["without_consumer_since"] is not None
    lines = {line["name"]: line for line in client.get("/api/v1/queues/").json()["results"]}
    assert lines["far"]["without_consumer_since"] is not None
    assert lines["dataset"]["without_consumer_since"] is None
    (check,) = [check for check in diagnose().checks if check.name == "queue consumers"]
    assert (check.state, check.measured) == (Health.FAILURE, "no live worker consumes far")
    assert unread_measure("far")
    read_by(far.pool, "far")
    measure_queues()
    assert not unread_measure("far")
    assert "No worker consumes the queue far" not in client.get("/admin/overview/").content.decode()
