"""Coroutines as jobs of real workers: they are stopped where they wait, and their process goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job, Queue, RoutingRule
from scheduling.topology.service import create_routing_rule
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.helpers import executions_of, fetch, submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually

pytestmark = pytest.mark.slow

KIND = "chaos_waiting"


@pytest.fixture(autouse=True)
def rules(db: None) -> Iterator[None]:
    """Route the plug-in's asynchronous kinds to the pool `default`."""
    queue = Queue.objects.get(name="pipeline")
    rules = [
        create_routing_rule(values={"position": position, "kind": kind, "queue": queue})
        for position, kind in enumerate((KIND, "chaos_patient"), start=1)
    ]
    yield
    with all_tenants():
        RoutingRule.objects.filter(pk__in=[rule.pk for rule in rules]).delete()


def begin(tenant: Tenant, payload: dict[str, Any], *, kind: str = KIND) -> Job:
    """Submit a job, and return it once it runs."""
    (job,) = submit(tenant, kind, payload)
    eventually(lambda: fetch(job).checkpoint, what="the job has begun")
    return fetch(job)


def test_waiting_jobs_of_two_tenants_see_their_own_rows(
    plugin_worker: ManagedProcess, acme: Tenant, globex: Tenant
) -> None:
    jobs = [job for tenant in (acme, globex) for job in submit(tenant, KIND, {}, {"seconds": 0.2}, {"sleeps": True})]
    done = [wait_for(job, "completed") for job in jobs]
    assert [job.result["tenants"] for job in done] == [[str(job.tenant_id)] for job in done]
    # A busy machine may cost a process.
    shared = defaultdict(set)
    for job in done:
        shared[job.result["pid"]].add(job.tenant_id)
    assert {acme.pk, globex.pk} in shared.values()


def test_coroutine_is_stopped_without_the_loss_of_its_process(plugin_worker: ManagedProcess, acme: Tenant) -> None:
    cancelled = begin(acme, {"seconds": 600}, kind="chaos_patient")
    with tenant_context(acme):
        cancel_job(job_id=cancelled.pk)
    wait_for(cancelled, "cancelled")
    late = wait_for(begin(acme, {"seconds": 60}), "discarded")
    assert late.error_message == "The job exceeded its kind's time limit of 2 s."
    (after,) = submit(acme, KIND, {})
    pids = {cancelled.checkpoint["pid"], late.checkpoint["pid"], wait_for(after, "completed").result["pid"]}
    assert len(pids) == 1
    assert "execution.child_killed" not in plugin_worker.log


def test_coroutine_that_blocks_its_loop_is_killed_after_its_time(plugin_worker: ManagedProcess, acme: Tenant) -> None:
    job = wait_for(begin(acme, {"seconds": 60, "blocks": True}), "discarded")
    assert (job.error_type, [execution.outcome for execution in executions_of(job)]) == ("timed_out", ["timed_out"])
    assert "execution.child_killed" in plugin_worker.log
    (after,) = submit(acme, KIND, {})
    assert wait_for(after, "completed").result["pid"] != job.checkpoint["pid"]


def test_worker_that_stops_returns_a_waiting_coroutine(plugin_worker: ManagedProcess, acme: Tenant) -> None:
    job = begin(acme, {"seconds": 1.9})
    plugin_worker.stop()
    assert [execution.outcome for execution in executions_of(job)] == ["shutdown"]
    assert (fetch(job).attempt, fetch(job).crash_count) == (0, 0)
