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


def simulate_jain(name: str) -> str:
    """The Jain index of a workload's tenants under the fair order, in words."""
    index = simulate_measure(name).jain
    return "–" if index is None else f"{index:.5f}"


@cache
def simulate_against_fifo() -> float:
    """Starts of ten thousand tenants in fair order over those in order of arrival."""
    fair, fifo = (simulate_measure("ten_thousand_tenants", policy).starts for policy in (Policy.CFS, Policy.FIFO))
    return fair / fifo


@cache
def simulate_idle_p95() -> float:
    """The p95 wait where nothing else is to do, in seconds."""
    return max((tenant.wait_p95 or 0.0) for tenant in simulate_measure("idle_system").tenants)


@cache
def simulate_quiet_p99(jobs: int) -> float:
    """The p99 wait of the quiet tenant behind so many jobs, in seconds."""
    tenants = {tenant.name: tenant for tenant in simulate_measure(f"quiet_tenant_behind_{jobs}").tenants}
    return tenants["quiet"].wait_p99 or 0.0
