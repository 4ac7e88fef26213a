"""A job through a restored database: submitted, dispatched by a tick, executed in this process, and settled."""

from __future__ import annotations

import os
import platform
from typing import Final
from uuid import uuid4

from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.fleet.workers import register_worker
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, LiveExecution, RoutingRule
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Plan
from tenants.tenancy.service import create_tenant

KIND: Final = "noop"


def run_canary() -> str:
    """Run a job of a new tenant in a pool of its own; return its state afterwards, which should be `completed`.

    The connection must be that of a scratch database: routing changes, and nothing is removed.
    """
    name = f"drill-{uuid4().hex[:12]}"
    with all_tenants():
        tenant = create_tenant(slug=name, plan=Plan.objects.earliest("pk"))
        pool = create_worker_pool(name=name)
        queue = create_queue(name=name, pool=pool)
        RoutingRule.objects.all().delete()
        create_routing_rule(values={"position": 1, "kind": KIND, "queue": queue})
    worker = LocalWorker.of(register_worker(pool_name=name, hostname=platform.node(), pid=os.getpid(), slots=1))
    job = submit_job(tenant=tenant, request=JobRequest(KIND)).job
    run_tick(pool.pk)
    with all_tenants():
        live = LiveExecution.objects.filter(job_id=job.pk).first()
    if live is not None:
        execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=worker)
    with all_tenants():
        return Job.objects.values_list("state", flat=True).get(pk=job.pk)
