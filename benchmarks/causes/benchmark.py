"""Plants each fault among noise, investigates the alert that it raises, and looks for the true cause."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from benchmarks.causes import failing, waiting
from benchmarks.causes.world import FAULTS, NOISE, Plant, World, add_noise
from benchmarks.harness.filling import create_tenants
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.provision import ACTOR
from scheduling.investigation.service import investigate
from tenants.audit.service import suppress_nested_entries
from tenants.context import acting_as, all_tenants
from tenants.models import Tenant

FIRST, LEAST_FOUND, MOST_SECONDS = 3, 0.9, 3.0
TENANTS = 6
# Each fault is planted among different noise; the priors were set by noise of other seeds.
NOISES, FIRST_SEED = 3, 1_000
# Imported for the faults that they register.
PLANTED = (failing, waiting)


def measure_causes(folder: Path) -> list[Finding]:
    """Plant each fault among noise in a transaction that is rolled back, investigate, and look for the true cause."""
    del folder
    with suppress_nested_entries():
        tenants = create_tenants([1] * TENANTS)
    found, rows, took = 0, [], []
    for number, (name, plant) in enumerate(FAULTS.items()):
        tries = [_try(tenants, plant, seed=FIRST_SEED + number + 100 * turn) for turn in range(NOISES)]
        found += sum(1 <= rank <= FIRST for rank, _first, _seconds in tries)
        took += [seconds for _rank, _first, seconds in tries]
        ranks = ", ".join(str(rank or "not found") for rank, _first, _seconds in tries)
        rows.append(shown(name, ranks, f"first: {tries[0][1]}"))
    total = NOISES * len(FAULTS)
    return [
        at_least(f"true cause among the first {FIRST}", found / total, LEAST_FOUND, ".0%", f"{found} of {total}"),
        at_most("an investigation, p95", percentile(took, 0.95), MOST_SECONDS, ".2f s", f"{NOISE:,} executions"),
        *rows,
    ]


def _try(tenants: Sequence[Tenant], plant: Plant, *, seed: int) -> tuple[int, str, float]:
    """Return the rank of the true cause, 0 if it is missing, the title of the first suspect, and the seconds."""
    with acting_as(ACTOR), all_tenants():
        world = World(tenants, timezone.now(), random.Random(seed))  # noqa: S311 - repeatable noise
        add_noise(world)
        asked, cause = plant(world)
        began = timezone.now()
        suspects = investigate(asked).suspects
        seconds = (timezone.now() - began).total_seconds()
        transaction.set_rollback(True)
    ranks = [place for place, one in enumerate(suspects, start=1) if cause in one["title"]]
    return (ranks[0] if ranks else 0), suspects[0]["title"] if suspects else "none", seconds


BENCHMARK = Benchmark(
    name="causes",
    title="Investigations",
    parts=(Part("causes", 3.0, measure_causes),),
    method="Each fault is planted by the platform's services, or as the rows that it leaves, beside 4,000 executions "
    "of 40 minutes with 2 % failures, 20 changes of two hours, two restarted workers and another alert; then the alert "
    "that the shipped rules raise is investigated. The numbers are the ranks of the true cause "
    "among three different noises.",
)
