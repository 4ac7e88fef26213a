"""The same question asked of the simulator, whose clock knows no overhead."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scheduling.fairness.simulation import Policy
from scheduling.fairness.simulation.measures import PolicyMeasure, measure_workload
from scheduling.fairness.simulation.workload_file import load_workload

WORKLOADS = Path(__file__).parent.parent / "workloads"


def simulate_measure(name: str, policy: Policy = Policy.CFS) -> PolicyMeasure:
    """A workload file under one policy."""
    (measure,) = measure_workload(load_workload(WORKLOADS / f"{name}.toml"), policies=[policy])
    return measure


@cache
def simulate_quiet_p99(jobs: int) -> float:
    """The p99 wait of the quiet tenant behind so many jobs, in seconds."""
    tenants = {tenant.name: tenant for tenant in simulate_measure(f"quiet_tenant_behind_{jobs}").tenants}
    return tenants["quiet"].wait_p99 or 0.0
