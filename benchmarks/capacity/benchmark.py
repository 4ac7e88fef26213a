"""What the platform needs while it works, part by part."""

from __future__ import annotations

from benchmarks.capacity import costs, load, submission
from benchmarks.harness.parts import Benchmark, Part

BENCHMARK = Benchmark(
    name="capacity",
    title="What the platform needs while it works",
    parts=(
        Part("near_capacity", 1.5, load.measure_near_capacity),
        Part("short_jobs", 1.0, load.measure_short_jobs),
        Part("steady", 1.0, load.measure_steady),
        Part("submission", 4.0, submission.measure_submission),
        Part("cycle", 1.0, costs.measure_cycle),
        Part("history", 5.0, costs.measure_history),
    ),
    method="PostgreSQL, Valkey and the platform's processes, all on this machine. The consistency checks find nothing "
    "after each part but `cycle`, which does not run them.",
)
