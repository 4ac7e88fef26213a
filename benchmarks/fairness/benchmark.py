"""The fair scheduler's targets, measured on the real platform and simulated beside it."""

from __future__ import annotations

from benchmarks.fairness import live_changes, shares, starts, throughput
from benchmarks.harness.parts import Benchmark, Part

BENCHMARK = Benchmark(
    name="fairness",
    title="The fair scheduler against its targets",
    parts=(
        Part("jain", 1.0, shares.measure_jain),
        Part("weights", 1.5, shares.measure_weights),
        Part("sub_keys", 1.0, shares.measure_sub_keys),
        Part("busy", 2.0, shares.measure_busy),
        Part("quiet_tenant", 6.0, starts.measure_quiet_tenant),
        Part("changes", 3.0, live_changes.measure_changes),
        Part("throughput", 3.0, throughput.measure_throughput),
        Part("merged", 1.5, throughput.measure_merged),
        Part("bare_celery", 3.0, throughput.measure_bare_celery),
        Part("idle", 2.5, starts.measure_idle),
        Part("takeover", 1.0, starts.measure_takeover),
        Part("killed", 1.5, starts.measure_killed),
        # Last, because it leaves hundreds of thousands of tenants.
        Part("ticks", 4.0, throughput.measure_ticks),
    ),
    method="Real PostgreSQL, Valkey, dispatcher and worker processes, all on this machine; `sleep` and `noop` jobs, "
    "submitted by the service that the API calls, great backlogs by set statements. The simulator's column asks the "
    "same of the pure code with `benchmarks/workloads/`, where slots and job lengths are the file's.",
)
