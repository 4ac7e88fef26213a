"""How soon a change of weight, plan, cap or pause holds for jobs that wait already."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection

from benchmarks.fair.filling import PLAN, analyse, clear_platform, create_tenants, fill_backlog
from benchmarks.fair.parts import Finding
from benchmarks.fair.processes import Processes, serving
from jobsplatform.demo.provision import ACTOR
from tenants.context import acting_as, all_tenants
from tenants.models import Plan, Tenant
from tenants.services.plans import update_plan
from tenants.services.tenants import pause_tenant, resume_tenant, update_tenant

SLOTS, JOB_SECONDS = 4, 0.1
BACKLOG = 100_000
TARGET_SECONDS = 1.0
EFFECT_SECONDS = 30.0
# A change is looked for so often; a job that runs under the old rule may end first.
LAST_WEIGHT = "SELECT max(weight_milli) FROM scheduling_execution_live WHERE tenant_id = %s"
IN_FLIGHT = "SELECT count(*) FROM scheduling_execution_live WHERE tenant_id = %s"


def measure_changes(folder: Path) -> list[Finding]:
    """Each change once, with 100,000 jobs waiting in each of two tenants."""
    clear_platform()
    one, other = create_tenants([1, 1])
    fill_backlog([one.pk, other.pk], 2 * BACKLOG, kind="sleep", payload={"seconds": JOB_SECONDS})
    analyse()
    with serving(folder, slots=SLOTS) as processes, acting_as(ACTOR):
        _await(processes, lambda: _ask(IN_FLIGHT, one) > 0)
        took = {name: _time(processes, *change) for name, change in _changes(one).items()}
    return [
        Finding(
            what=f"change of {name} on the existing backlog",
            target=f"≤ {TARGET_SECONDS:.0f} s",
            measured=f"{seconds:.2f} s",
            is_met=seconds <= TARGET_SECONDS,
            beside=f"{SLOTS} slots, jobs of {JOB_SECONDS * 1e3:.0f} ms, {BACKLOG:,} waiting in each of two tenants; "
            "from the commit until what is in flight obeys",
        )
        for name, seconds in took.items()
    ]


def _changes(tenant: Tenant) -> dict[str, tuple[Callable[[], object], Callable[[], bool]]]:
    """What to do, and what is then seen."""
    plan = Plan.objects.get(slug=PLAN)
    weight = plan.weight
    return {
        "weight": (
            lambda: update_tenant(tenant=tenant, changes={"weight_factor": 7}),
            lambda: _ask(LAST_WEIGHT, tenant) == 7_000 * weight,
        ),
        "plan": (
            lambda: update_plan(plan=plan, changes={"weight": weight + 1}),
            lambda: _ask(LAST_WEIGHT, tenant) == 7_000 * (weight + 1),
        ),
        "cap (down)": (
            lambda: update_tenant(tenant=tenant, changes={"max_concurrency": 1}),
            lambda: _ask(IN_FLIGHT, tenant) <= 1,
        ),
        "cap (up)": (
            lambda: update_tenant(tenant=tenant, changes={"max_concurrency": 100}),
            lambda: _ask(IN_FLIGHT, tenant) > 1,
        ),
        "pause": (
            lambda: pause_tenant(tenant=tenant, reason="benchmark"),
            lambda: _ask(IN_FLIGHT, tenant) == 0,
        ),
        "resume": (
            lambda: resume_tenant(tenant=tenant, reason="benchmark"),
            lambda: _ask(IN_FLIGHT, tenant) > 0,
        ),
    }


def _time(processes: Processes, change: Callable[[], object], is_seen: Callable[[], bool]) -> float:
    change()
    committed_at = time.time()
    return _await(processes, is_seen) - committed_at


def _await(processes: Processes, is_seen: Callable[[], bool]) -> float:
    return processes.wait_until(is_seen, within=EFFECT_SECONDS, what="the change takes effect")


def _ask(statement: str, tenant: Tenant) -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, [tenant.pk])
        return int(cursor.fetchone()[0] or 0)
