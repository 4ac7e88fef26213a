"""The fair scheduler's numbers in simulation, row by row: the pure order without a platform.

`make bench-simulated` prints them; it needs no server. The workloads are `benchmarks/workloads/*.toml`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scheduling.fairness.simulation import Policy
from scheduling.fairness.simulation.measures import PolicyMeasure, TenantMeasure, measure_workload
from scheduling.fairness.simulation.workload_file import load_workload

WORKLOADS = Path(__file__).parent.parent / "workloads"
# One slot release of the quiet tenant's workloads, in seconds.
SLOT_RELEASE = 0.2


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """One row: the number, how it is written, and whether the target is met."""

    value: float
    text: str
    target: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class _Row:
    workload: str
    measure: Callable[[Mapping[Policy, PolicyMeasure]], float]
    text: str
    target: str
    is_met: Callable[[float], bool]
    policies: Sequence[Policy] = (Policy.CFS,)


def _tenant(measure: PolicyMeasure, name: str) -> TenantMeasure:
    return next(row for row in measure.tenants if row.name == name)


def _jain(found: Mapping[Policy, PolicyMeasure]) -> float:
    return found[Policy.CFS].jain or 0.0


def _share_error(found: Mapping[Policy, PolicyMeasure]) -> float:
    error = found[Policy.CFS].share_error
    return 1.0 if error is None else error


def _key_gain(found: Mapping[Policy, PolicyMeasure]) -> float:
    """Return what the tenant with keys has more than half of the time of both."""
    keyed, plain = (_tenant(found[Policy.CFS], name).worker_seconds for name in ("with-keys", "plain"))
    return 2 * keyed / (keyed + plain) - 1


def _most_starts(found: Mapping[Policy, PolicyMeasure]) -> float:
    """Of one tenant."""
    return max(tenant.starts for tenant in found[Policy.CFS].tenants)


def _busy(found: Mapping[Policy, PolicyMeasure]) -> float:
    return min(measure.busy_while_wanted or 0.0 for measure in found.values())


def _quiet_wait(found: Mapping[Policy, PolicyMeasure]) -> float:
    wait = _tenant(found[Policy.CFS], "quiet").wait_p99
    return float("inf") if wait is None else wait


def _throughput(found: Mapping[Policy, PolicyMeasure]) -> float:
    return found[Policy.CFS].starts / found[Policy.FIFO].starts


def _idle_wait(found: Mapping[Policy, PolicyMeasure]) -> float:
    wait = found[Policy.CFS].tenants[0].wait_p95
    return float("inf") if wait is None else wait


def _short_wait(found: Mapping[Policy, PolicyMeasure]) -> float:
    wait = _tenant(found[Policy.TIME_SLICE], "short").wait_p95
    return float("inf") if wait is None else wait


_ROWS: Mapping[str, _Row] = {
    "jain_1_2_5_10": _Row("jain_1_2_5_10", _jain, "Jain index {:.5f}", "at least 0.999", lambda value: value >= 0.999),
    "weights_1_2_4_8_heavy_tail": _Row(
        "weights_1_2_4_8_heavy_tail",
        _share_error,
        "worst share error {:.2%}",
        "at most 3 %",
        lambda value: value <= 0.03,
    ),
    "sub_keys_20": _Row("sub_keys_20", _key_gain, "gain {:+.2%}", "at most 2 %", lambda value: value <= 0.02),
    "work_conservation": _Row(
        "work_conservation",
        _busy,
        "busy {:.2%}",
        "at least 99 %",
        lambda value: value >= 0.99,
        (Policy.CFS, Policy.TIME_SLICE),
    ),
    **{
        f"quiet_tenant_behind_{number}": _Row(
            f"quiet_tenant_behind_{number}",
            _quiet_wait,
            "p99 wait {:.3f} s",
            f"at most one slot release ({SLOT_RELEASE} s)",
            lambda value: value <= SLOT_RELEASE,
        )
        for number in (1_000, 100_000, 1_000_000)
    },
    "ten_thousand_tenants": _Row(
        "ten_thousand_tenants",
        _throughput,
        "{:.1%} of FIFO's starts",
        "at least 90 %",
        lambda value: value >= 0.9,
        (Policy.FIFO, Policy.CFS),
    ),
    "small_jobs_100_tenants": _Row(
        "small_jobs_100_tenants", _jain, "Jain index {:.5f}", "at least 0.999", lambda value: value >= 0.999
    ),
    "tick_of_500": _Row("tick_of_500", _most_starts, "{:.0f} job of a tenant at most", "1", lambda value: value == 1),
    "idle_system": _Row("idle_system", _idle_wait, "p95 wait {:.3f} s", "0 s", lambda value: value == 0),
    "time_slices": _Row(
        "time_slices",
        _short_wait,
        "p95 wait of short jobs {:.1f} s",
        "at most a slice and a second (11 s)",
        lambda value: value <= 11,
        (Policy.TIME_SLICE,),
    ),
}
NAMES = tuple(_ROWS)


@cache
def measure_row(name: str) -> SimulatedRow:
    """Return the row of the workload of that name."""
    row = _ROWS[name]
    measures = measure_workload(load_workload(WORKLOADS / f"{row.workload}.toml"), policies=row.policies)
    value = row.measure({measure.policy: measure for measure in measures})
    return SimulatedRow(value, row.text.format(value), row.target, row.is_met(value))


def measure_rows(names: Sequence[str] = NAMES) -> dict[str, SimulatedRow]:
    """All rows by name; about half a minute, most of it for a million jobs and ten thousand tenants."""
    return {name: measure_row(name) for name in names}


def main() -> int:
    """Print every row; 0 only if every target is met."""
    rows = measure_rows()
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        print(f"{name:{width}}  {row.text}  (target: {row.target}: {'met' if row.is_met else 'MISSED'})")
    return 0 if all(row.is_met for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
