"""The fair scheduler's numbers in simulation, row by row: the pure order without a platform.

`make bench-simulated` prints them; it needs no server. The workloads are `benchmarks/workloads/*.toml`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.measures import PolicyMeasure, measure_workload
from scheduling.fairness.lab.workload import Workload
from scheduling.fairness.lab.workload_file import parse_workload

WORKLOADS = Path(__file__).parent.parent / "workloads"
# One slot release of the quiet tenant's workload, in seconds.
SLOT_RELEASE = 0.2
_BACKLOG = "backlog = 1000"
Measures = Mapping[OrderPolicy, PolicyMeasure]


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """A row: the value, its text, and whether the target is met."""

    value: float
    text: str
    target: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class _Row:
    measure: Callable[[Measures], float]
    text: str
    target: str
    is_met: Callable[[float], bool]
    policies: Sequence[OrderPolicy] = (OrderPolicy.CFS,)
    # The file if its name differs from the row's, and the number of jobs of its backlog.
    file: str = ""
    backlog: int = 1_000


def _wait(name: str, part: str, policy: OrderPolicy = OrderPolicy.CFS) -> Callable[[Measures], float]:
    def measure(found: Measures) -> float:
        tenant = next(row for row in found[policy].tenants if row.name == name)
        wait: float | None = getattr(tenant, part)
        return inf if wait is None else wait

    return measure


def _key_gain(found: Measures) -> float:
    """Return by how much the time of the tenant with keys exceeds half of both tenants' time."""
    seconds = {tenant.name: tenant.worker_seconds for tenant in found[OrderPolicy.CFS].tenants}
    return 2 * seconds["with-keys"] / (seconds["with-keys"] + seconds["plain"]) - 1


_JAIN = _Row(
    lambda found: found[OrderPolicy.CFS].jain or 0.0,
    "Jain index {:.5f}",
    "at least 0.999",
    lambda value: value >= 0.999,
)
_ROWS: Mapping[str, _Row] = {
    "jain_1_2_5_10": _JAIN,
    "weights_1_2_4_8_heavy_tail": _Row(
        lambda found: 1.0 if (error := found[OrderPolicy.CFS].share_error) is None else error,
        "worst share error {:.2%}",
        "at most 3 %",
        lambda value: value <= 0.03,
    ),
    "sub_keys_20": _Row(_key_gain, "gain {:+.2%}", "at most 2 %", lambda value: value <= 0.02),
    "work_conservation": _Row(
        lambda found: min(measure.busy_while_wanted or 0.0 for measure in found.values()),
        "busy {:.2%}",
        "at least 99 %",
        lambda value: value >= 0.99,
        (OrderPolicy.CFS, OrderPolicy.TIME_SLICE),
    ),
    **{
        f"quiet_tenant_behind_{number}": _Row(
            _wait("quiet", "wait_p99"),
            "p99 wait {:.3f} s",
            f"at most one slot release ({SLOT_RELEASE} s)",
            lambda value: value <= SLOT_RELEASE,
            file="quiet_tenant",
            backlog=number,
        )
        for number in (1_000, 100_000, 1_000_000)
    },
    "ten_thousand_tenants": _Row(
        lambda found: found[OrderPolicy.CFS].starts / found[OrderPolicy.FIFO].starts,
        "{:.1%} of FIFO's starts",
        "at least 90 %",
        lambda value: value >= 0.9,
        (OrderPolicy.FIFO, OrderPolicy.CFS),
    ),
    "small_jobs_100_tenants": _JAIN,
    "tick_of_500": _Row(
        lambda found: max(tenant.starts for tenant in found[OrderPolicy.CFS].tenants),
        "{:.0f} job of a tenant at most",
        "1",
        lambda value: value == 1,
    ),
    "idle_system": _Row(_wait("only", "wait_p95"), "p95 wait {:.3f} s", "0 s", lambda value: value == 0),
    "time_slices": _Row(
        _wait("short", "wait_p95", OrderPolicy.TIME_SLICE),
        "p95 wait of short jobs {:.1f} s",
        "at most a slice and a second (11 s)",
        lambda value: value <= 11,
        (OrderPolicy.TIME_SLICE,),
    ),
}
NAMES = tuple(_ROWS)


def load_row(name: str) -> tuple[Path, Workload]:
    """Return the file of a row, and the row's workload."""
    row = _ROWS[name]
    file = WORKLOADS / f"{row.file or name}.toml"
    text = file.read_text(encoding="utf-8")
    if row.file:
        text = text.replace(_BACKLOG, f"backlog = {row.backlog}")
    return file, parse_workload(text, folder=WORKLOADS)


@cache
def measure_row(name: str) -> SimulatedRow:
    """Return the row of that name."""
    row = _ROWS[name]
    measures = measure_workload(load_row(name)[1], policies=row.policies)
    value = row.measure({measure.policy: measure for measure in measures})
    return SimulatedRow(value, row.text.format(value), row.target, row.is_met(value))


def main() -> int:
    """Print every row, two of which take most of half a minute; return 0 only if every target is met."""
    rows = {name: measure_row(name) for name in NAMES}
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        print(f"{name:{width}}  {row.text}  (target: {row.target}: {'met' if row.is_met else 'MISSED'})")
    return 0 if all(row.is_met for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
