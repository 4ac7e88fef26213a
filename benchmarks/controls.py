"""The benchmark of controls: how much ten controls, none of which fails, slow a submission."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

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

ROUNDS, JOBS, MOST = int(os.environ.get("CONTROL_ROUNDS", "15")), 200, 1.03
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
    """Submit jobs one after another without and with controls, in turns; ``CONTROL_ROUNDS`` sets their number."""
    del folder
    clear_platform()
    (tenant,) = create_tenants([1])
    rows = [_save(ControlRule(), name=f"{n}", rule=rule, parameters=facts) for n, (rule, facts) in enumerate(RULES)]
    without, with_controls = [], []
    for number in range(ROUNDS + 1):
        for is_enabled in (False, True) if number % 2 else (True, False):
            _enable(rows, is_enabled=is_enabled)
            seconds = _time_submissions(tenant)
            if number:  # The first round imports and plans.
                (with_controls if is_enabled else without).append(seconds)
    _enable(rows, is_enabled=False)
    ratios = [with_ / bare for with_, bare in zip(with_controls, without, strict=True)]
    bare, with_ = (1e3 * median(found) for found in (without, with_controls))
    beside = f"{ROUNDS} rounds of {JOBS} submissions, payload of 900 characters, {os.cpu_count()} cores"
    return [
        shown("submission without controls, median", f"{bare:.2f} ms", beside),
        shown(
            "submission with ten controls, median",
            f"{with_:.2f} ms",
            f"ratios of rounds {min(ratios):.3f} to {max(ratios):.3f}",
        ),
        at_most("submission with ten controls, as a multiple of that without", median(ratios), MOST, ".3f", beside),
    ]


def _save(row: ControlRule, **values: Any) -> ControlRule:
    facts = {"checkpoint": "submission", "may_hold_all": True, "is_enabled": False}
    with acting_as(ACTOR), all_tenants():
        return CONTROLS.save(row, facts | values)


def _enable(rows: list[ControlRule], *, is_enabled: bool) -> None:
    """Enable or disable the controls, and wait until this process reads them so."""
    for row in rows:
        with acting_as(ACTOR), all_tenants():
            CONTROLS.save(row, {"is_enabled": is_enabled})
    time.sleep(2 * cache_seconds() + 0.1)
    assert bool(current_controls().by_checkpoint) is is_enabled


def _time_submissions(tenant: Tenant) -> float:
    """Return the median seconds of a submission."""
    times = []
    for _ in range(JOBS):
        began = time.perf_counter()
        submit_one(tenant, REQUEST)
        times.append(time.perf_counter() - began)
    return median(times)


BENCHMARK = Benchmark(
    "controls",
    "Controls",
    (Part("controls", 1.5, measure_controls),),
    "Jobs are submitted one after another by the service that the API calls, without and with ten controls that none "
    "of them fails, in turns in one run. The value is the median of the ratios of the rounds.",
)
