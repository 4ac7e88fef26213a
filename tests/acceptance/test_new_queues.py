"""A queue that is added to a pool is read by the workers that run; the backlog follows a switch of the edition."""

from __future__ import annotations

from scheduling.models import CFSPlan, Queue, QueueClock, RoutingRule, Worker
from scheduling.services.cfs_plans import activate_cfs_plan
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.acts import event_names, fetch, submit, wait_for, wait_for_all
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually


def test_a_new_queue_is_read_without_a_restart(platform: Platform, acme: Tenant) -> None:
    assert platform.worker is not None
    pid = platform.worker.pid
    with all_tenants():
        pool = Queue.objects.get(name="dataset").pool
        queue = Queue.objects.create(name="brand_new", pool=pool)
        QueueClock.objects.create(queue=queue)
        rule = RoutingRule.objects.create(position=1, kind="noop", queue=queue)
    try:
        (job,) = submit(acme, "noop")
        wait_for(job, "completed")
        assert fetch(job).queue_id == queue.pk
        eventually(lambda: "brand_new" in queues_read_by(pid), what="the worker reports the queue")
    finally:
        with all_tenants():
            rule.delete()


def queues_read_by(pid: int) -> list[str]:
    with all_tenants():
        return list(Worker.objects.get(pid=pid).queues)


def test_what_waits_follows_the_active_plan(platform: Platform, acme: Tenant) -> None:
    with all_tenants():
        Worker.objects.update(status=Worker.Status.DRAINING)
    jobs = submit(acme, "noop", *[{} for _ in range(50)])
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"), reason="test")
    workflow = Queue.objects.get(name="workflow").pk
    eventually(lambda: {fetch(job).queue_id for job in jobs} == {workflow}, what="all have moved")
    with all_tenants():
        Worker.objects.filter(status=Worker.Status.DRAINING).update(status=Worker.Status.ONLINE)
    wait_for_all(jobs)
    assert event_names(jobs[0]).count("job.moved") == 1
    activate_cfs_plan(plan=CFSPlan.objects.get(name="cloud"), reason="test")
