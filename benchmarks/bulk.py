"""Bulk operations on ten thousand jobs: how long until the first progress, until the end, and until an abort."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks import volume
from benchmarks.outcome import Outcome
from scheduling.models import BulkOperation, Queue, WorkerPool
from scheduling.services.bulk.starting import plan_bulk_operation, start_bulk_operation
from scheduling.services.bulk.stopping import abort_bulk_operation, undo_bulk_operation
from scheduling.services.consistency.verification import verify
from scheduling.services.dispatching import run_tick
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from scheduling.worker.bulk_runner import BulkRunner
from tenants.context import all_tenants, tenant_context
from tenants.models import Plan, Tenant
from tenants.services.tenants import create_tenant

JOBS = int(os.environ.get("BENCH_BULK_JOBS", "10000"))
# Of two hundred other tenants, with their history.
BESIDE = int(os.environ.get("BENCH_BULK_BESIDE", "0"))
BATCH = 500
LOOK_SECONDS = 0.02
FIRST_SECONDS, END_SECONDS, ABORT_SECONDS = 1.0, 5.0, 2.0
GIVE_UP_SECONDS = 300.0
UNDO = "undo"
# In an order in which each finds what the one before has left.
STEPS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("reprioritise", "state:available", {"priority": 3}),
    (UNDO, "", {}),
    ("move_queue", "state:available", {"queue": "bulk-aside"}),
    (UNDO, "", {}),
    ("discard", "state:available", {}),
    ("requeue", "state:discarded", {}),
    ("cancel", "state:available", {}),
    ("retry", "state:cancelled", {}),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the start's commit, and to how many jobs it was done."""

    first: float
    end: float
    changed: int


def measure(folder: Path) -> Outcome:
    """One operation after another on the same tenant's jobs, each taken up by a runner as a dispatcher has one."""
    del folder
    if BESIDE:
        volume.fill(jobs=BESIDE)
    tenant = _fill()
    rows: list[list[str]] = [["operation", "jobs", "preview", "first progress", "end", "jobs a second"]]
    is_met, last = True, UUID(int=0)
    with _running():
        for name, text, parameters in STEPS:
            with tenant_context(tenant):
                preview, last = ("–", _undo(last)) if name == UNDO else _start(text, name, parameters)
            timing = _follow(tenant, last)
            is_met &= timing.first <= FIRST_SECONDS and timing.end <= END_SECONDS and timing.changed == JOBS
            rate = f"{timing.changed / timing.end:,.0f}"
            rows.append([name, f"{timing.changed:,}", preview, f"{timing.first:.2f} s", f"{timing.end:.2f} s", rate])
        aborted = _abort(tenant)
        is_met &= aborted <= ABORT_SECONDS
    rows.append(["abort of a cancel", "–", "–", "–", f"{aborted:.2f} s", "–"])
    for pool in WorkerPool.objects.all():
        run_tick(pool.pk)
    return Outcome(
        name="bulk",
        title=f"Bulk operations on {JOBS:,} jobs",
        rows=rows,
        target=f"first progress ≤ {FIRST_SECONDS:.0f} s, end ≤ {END_SECONDS:.0f} s, abort ≤ {ABORT_SECONDS:.0f} s,"
        " counters recounted",
        # Those that are beside it were made by statements that know no counters.
        is_met=is_met and (BESIDE > 0 or verify(["counters", "ready"]).is_clean),
        reproduce=f"BENCH_BULK_BESIDE={BESIDE} make bench BENCH=bulk" if BESIDE else "",
        method=(
            f"{JOBS:,} waiting jobs of one tenant; a thread takes turns as that of a dispatcher does, and another asks"
            f" every {LOOK_SECONDS * 1e3:.0f} ms how far the operation is. Times count from the commit of its start. No"
            f" job is dispatched meanwhile; beside them there are {BESIDE:,} others."
        ),
    )


def _fill() -> Tenant:
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=10**9)
        Queue.objects.get_or_create(name="bulk-aside", defaults={"pool": WorkerPool.objects.get(name="default")})
    tenant = create_tenant(slug="bulk", plan="team")
    for _ in range(JOBS // BATCH):
        submit_jobs(tenant=tenant, requests=[JobRequest(kind="noop")] * BATCH)
    return tenant


@contextmanager
def _running() -> Iterator[None]:
    stopped = threading.Event()
    thread = threading.Thread(target=BulkRunner(stopped).run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _start(text: str, operation: str, parameters: Mapping[str, Any]) -> tuple[str, UUID]:
    """How long the preview took, and what was started."""
    began = time.perf_counter()
    plan = plan_bulk_operation(filter_text=text, operation=operation, parameters=parameters)
    preview = f"{1e3 * (time.perf_counter() - began):.0f} ms"
    started = start_bulk_operation(
        filter_text=text,
        operation=operation,
        parameters=parameters,
        reason="benchmark",
        number=plan.number,
        ticket=plan.ticket,
    )
    return preview, started.pk


def _undo(operation_id: UUID) -> UUID:
    return undo_bulk_operation(operation_id=operation_id, reason="benchmark").pk


def _follow(tenant: Tenant, operation_id: UUID) -> Timing:
    began, first = time.perf_counter(), 0.0
    while time.perf_counter() - began < GIVE_UP_SECONDS:
        operation = _read(tenant, operation_id)
        if operation.seen and not first:
            first = time.perf_counter() - began
        if not operation.is_open:
            return Timing(first, time.perf_counter() - began, operation.changed)
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"The operation {operation_id} does not end.")


def _abort(tenant: Tenant) -> float:
    with tenant_context(tenant):
        _, operation_id = _start("state:available", "cancel", {})
    until = time.perf_counter() + GIVE_UP_SECONDS
    while not _read(tenant, operation_id).seen and time.perf_counter() < until:
        time.sleep(LOOK_SECONDS)
    began = time.perf_counter()
    with tenant_context(tenant):
        abort_bulk_operation(operation_id=operation_id, reason="benchmark")
    return time.perf_counter() - began


def _read(tenant: Tenant, operation_id: UUID) -> BulkOperation:
    with tenant_context(tenant):
        return BulkOperation.objects.get(pk=operation_id)
