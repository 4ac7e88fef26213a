"""Shares of worker-seconds of three tenants that always have jobs waiting, at the weights 1:2:4."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from benchmarks.outcome import Outcome
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import ACTOR
from jobsplatform.demo.readings import read_executions
from scheduling.fairness.entitlement import jain_index
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.context import acting_as, tenant_context
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.tenants import create_tenant, update_tenant

WEIGHTS = (1, 2, 4)
DISPATCHES = 300
# More for each than it can be given, so that all three are backlogged to the end.
JOBS_EACH = 300
SECONDS_A_JOB = (0.05, 0.15)
TARGET_ERROR = 0.05
SEED = 20_260_102
DRAIN_SECONDS = 120.0


class NotDispatchedError(RuntimeError):
    """The jobs were not dispatched in time."""


def measure(folder: Path) -> Outcome:
    """Fill three backlogs while nothing runs, start the platform, and read its first 300 dispatches."""
    tenants = _create_tenants()
    for tenant in tenants:
        _fill_backlog(tenant)
    ids = [tenant.pk for tenant in tenants]
    with running_platform(folder / "fairness.log") as platform:
        _wait_dispatched(platform, ids)
    executions = read_executions(ids)[:DISPATCHES]
    used = dict.fromkeys(ids, 0)
    counted = dict.fromkeys(ids, 0)
    for execution in executions:
        used[execution.tenant_id] += execution.measured_us
        counted[execution.tenant_id] += 1
    return _conclude(dict(zip(ids, WEIGHTS, strict=True)), used, counted)


def _create_tenants() -> list[Tenant]:
    """One plan for all, so that they meet in one queue; the tenant's own factor makes the weights."""
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"weight-{weight}-{run}", plan="professional") for weight in WEIGHTS]
        return [
            update_tenant(tenant=tenant, changes={"weight_factor": Decimal(weight)})
            for tenant, weight in zip(tenants, WEIGHTS, strict=True)
        ]


def _fill_backlog(tenant: Tenant) -> None:
    chance = random.Random(SEED)  # noqa: S311 - durations, not secrets
    requests = [
        JobRequest(kind="sleep", payload={"seconds": round(chance.uniform(*SECONDS_A_JOB), 3)})
        for _ in range(JOBS_EACH)
    ]
    with acting_as(ACTOR), tenant_context(tenant):
        submit_jobs(tenant=tenant, requests=requests)


def _wait_dispatched(platform: Platform, ids: Sequence[UUID]) -> None:
    slots = os.cpu_count() or 1
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        platform.require_alive()
        # What is in flight has not ended; a few more than counted make the first 300 by dispatch complete.
        if len(read_executions(ids)) >= DISPATCHES + 4 * slots:
            return
        time.sleep(0.5)
    raise NotDispatchedError(f"Fewer than {DISPATCHES} jobs ended within {DRAIN_SECONDS:.0f} s.\n{platform.log_tail()}")


def _conclude(weights: Mapping[UUID, int], used: Mapping[UUID, int], counted: Mapping[UUID, int]) -> Outcome:
    total, whole = sum(used.values()), sum(weights.values())
    rows = [["weight", "dispatches", "worker-seconds", "share", "due", "error"]]
    ratios = []
    for tenant_id, weight in weights.items():
        share, due = used[tenant_id] / total, weight / whole
        ratios.append(share / due)
        seconds = f"{used[tenant_id] / 1e6:.2f}"
        error = f"{share / due - 1:+.1%}"
        rows.append([f"{weight}", f"{counted[tenant_id]}", seconds, f"{share:.1%}", f"{due:.1%}", error])
    worst = max(abs(ratio - 1) for ratio in ratios)
    return Outcome(
        name="fairness",
        title="Fairness: shares of worker-seconds",
        rows=rows,
        target=f"every share within {TARGET_ERROR:.0%} of what is due over {DISPATCHES} dispatches",
        is_met=worst <= TARGET_ERROR,
        method=(
            f"Worst error {worst:.1%}, Jain index of the ratios {jain_index(ratios):.5f}. Three tenants in one queue, "
            f"each with {JOBS_EACH} `sleep` jobs of {SECONDS_A_JOB[0]}–{SECONDS_A_JOB[1]} s at random (seed {SEED}), "
            "submitted before any process was started; the scheduler does not know the durations. The first "
            f"{DISPATCHES} executions in order of dispatch are counted, each with its measured time."
        ),
    )
