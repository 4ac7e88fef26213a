"""The benchmark of controls: how much ten controls, none of which fails, slow a submission."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from benchmarks.harness.filling import clear_platform, create_tenants
from benchmarks.harness.jobs import submit_one
from benchmarks.harness.parts import Benchmark, Finding, Part, at_most, shown
from jobsplatform.demo.provision import ACTOR
from scheduling.controls.queries import current_controls
from scheduling.controls.service import CONTROLS
from scheduling.jobs.requests import JobRequest
from scheduling.models import ControlRule
from tenants.cache.shared_cache import cache_seconds
from tenants.context import acting_as, all_tenants
from tenants.models import Tenant

TURNS, MOST = int(os.environ.get("CONTROL_TURNS", "3000")), 1.03
REQUEST = JobRequest(
    kind="noop", payload={"text": "An order of 12 pieces, to be sent on Monday. " * 20}, tags=("reviewed",)
)
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("required_tags", {"tags": ["reviewed"]}) for _ in range(5)),
    *(("allowed_kinds", {"kinds": ["noop"]}) for _ in range(2)),
    ("maintenance_window", {"from": "00:00", "to": "00:01", "days": [0]}),
    ("payload_detector", {"detect": ["card", "email"]}),
    ("payload_detector", {"detect": ["key"]}),
)


def measure_controls(folder: Path) -> list[Finding]:
    """Submit jobs of three tenants in turns, one of which has controls; ``CONTROL_TURNS`` sets how many of each."""
    del folder
    clear_platform()
    bare, likewise, controlled = tenants = create_tenants([1, 1, 1])
    for number, (rule, parameters) in enumerate(RULES):
        _save(controlled, name=f"{number}", rule=rule, parameters=parameters)
    time.sleep(2 * cache_seconds() + 0.1)
    assert len(current_controls().by_checkpoint["submission"]) == len(RULES)
    for tenant in tenants * 50:  # imports and plans
        submit_one(tenant, REQUEST)
    times: dict[UUID, list[float]] = {tenant.pk: [] for tenant in tenants}
    for number in range(TURNS):
        first = number % len(tenants)
        for tenant in (*tenants[first:], *tenants[:first]):
            began = time.perf_counter()
            submit_one(tenant, REQUEST)
            times[tenant.pk].append(time.perf_counter() - began)
    without, without_too, with_controls = (1e3 * median(times[tenant.pk]) for tenant in (bare, likewise, controlled))
    beside = f"{TURNS:,} submissions each, payload of 900 characters, {os.cpu_count()} cores"
    return [
        shown("submission of a tenant without controls, median", f"{without:.2f} ms", beside),
        shown("the same of a second tenant without controls", f"{without_too / without:.3f} times", "the noise"),
        shown("submission of a tenant with ten controls, median", f"{with_controls:.2f} ms", beside),
        at_most("with ten controls, as a multiple of that without", with_controls / without, MOST, ".3f", beside),
    ]


def _save(tenant: Tenant, **values: Any) -> ControlRule:
    facts = {"tenant": tenant, "checkpoint": "submission", "may_hold_all": True, "is_enabled": True}
    with acting_as(ACTOR), all_tenants():
        return CONTROLS.save(ControlRule(), facts | values)


BENCHMARK = Benchmark(
    "controls",
    "Controls",
    (Part("controls", 1.5, measure_controls),),
    "Jobs are submitted one after another by the service that the API calls, of three tenants in turns. One has ten "
    "controls that none of its jobs fails; the others read the same list, in which no control is about them.",
)
