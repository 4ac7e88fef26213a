"""Running workers read new queues, workers of new pools theirs, and waiting jobs follow a changed plan."""

from __future__ import annotations

from scheduling.models import CFSPlan, Queue, Worker
from scheduling.plans.service import activate_cfs_plan
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import event_names, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import eventually


def test_new_queue_is_read_without_worker_restart(platform: Platform, acme: Tenant) -> None:
    assert platform.worker is not None
    pid = platform.worker.pid
    queue = create_queue(name="brand_new", pool="default")
    rule = create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    try:
        (job,) = submit(acme, "noop")
        wait_for(job, "completed")
        assert fetch(job).queue_id == queue.pk
        eventually(lambda: "brand_new" in queues_read_by(pid), what="the worker reports the queue")
    finally:
        with all_tenants():
            rule.delete()


def test_worker_of_new_pool_runs_jobs_of_its_queue(platform: Platform, acme: Tenant) -> None:
    create_worker_pool(name="brand_new")
    queue = create_queue(name="of_the_new_pool", pool="brand_new")
    worker = platform.start_worker(concurrency=1, pool="brand_new")
    rule = create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    try:
        (job,) = submit(acme, "noop")
        wait_for(job, "completed")
        assert fetch(job).queue_id == queue.pk
        assert queues_read_by(worker.pid) == ["of_the_new_pool"]
    finally:
        worker.stop()
        with all_tenants():
            rule.delete()


def queues_read_by(pid: int) -> list[str]:
    with all_tenants():
        return list(Worker.objects.get(pid=pid).queues)


def test_waiting_jobs_move_to_queues_of_the_active_plan(platform: Platform, acme: Tenant) -> None:
    with all_tenants():
        Worker.objects.update(status=Worker.Status.DRAINING)
    jobs = submit(acme, "noop", *[{} for _ in range(50)])
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"), reason="test")
    shared = Queue.objects.get(name="tasks").pk
    eventually(lambda: {fetch(job).queue_id for job in jobs} == {shared}, what="all have moved")
    with all_tenants():
        Worker.objects.filter(status=Worker.Status.DRAINING).update(status=Worker.Status.ONLINE)
    wait_for_all(jobs)
    assert event_names(jobs[0]).count("job.moved") == 1
    activate_cfs_plan(plan=CFSPlan.objects.get(name="cloud"), reason="test")
