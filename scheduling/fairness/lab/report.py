"""Representations of a simulation's measures: as plain values, and as a text table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from scheduling.fairness.lab.measures import PolicyMeasure, SimulatedTenantMeasure
from scheduling.fairness.lab.workload import Workload

MOST_LINES = 20
# The precision of a simulation: further digits would only differ between machines.
DIGITS = 6


def describe(workload: Workload, measures: Sequence[PolicyMeasure], *, slots: int) -> dict[str, Any]:
    """Return all measures, rounded, without the series for the plot; waits are in seconds."""
    return {
        "title": workload.title,
        "target": workload.target,
        "seed": workload.seed,
        "slots": slots,
        "policies": [_describe_policy(measure) for measure in measures],
    }


def _describe_policy(measure: PolicyMeasure) -> dict[str, Any]:
    facts = {name: _rounded(value) for name, value in asdict(measure).items() if name != "tenants"}
    facts["policy"] = measure.policy.value
    facts["tenants"] = [
        {name: _rounded(value) for name, value in asdict(row).items() if name != "series"} for row in measure.tenants
    ]
    return facts


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value


def render_table(workload: Workload, measures: Sequence[PolicyMeasure], *, slots: int) -> Iterator[str]:
    """Yield the lines of a table of the policies, and of a table of tenants for each, greatest entitlements first."""
    if workload.title:
        yield workload.title
    if workload.target:
        yield f"Target: {workload.target}"
    yield f"{slots} slots, {len(workload.tenants)} tenants, seed {workload.seed}"
    yield ""
    heading = ["policy", "seconds", "starts", "Jain", "worst error", "busy", "busy while wanted"]
    yield from _align([heading, *(_policy_cells(measure) for measure in measures)])
    for measure in measures:
        yield ""
        yield measure.policy.value
        rows = sorted(measure.tenants, key=lambda row: (-row.entitled_share, -row.share, row.name))
        heading = ["tenant", "worker-s", "share", "due", "got/due", "starts", "left", "p50", "p95", "p99", "max wait"]
        yield from _align([heading, *(_tenant_cells(row) for row in rows[:MOST_LINES])])
        if len(rows) > MOST_LINES:
            yield f"… and {len(rows) - MOST_LINES} more (--json has all)"


def _policy_cells(measure: PolicyMeasure) -> list[str]:
    return [
        measure.policy.value,
        f"{measure.seconds:.6g}",
        f"{measure.starts:,}",
        "-" if measure.jain is None else f"{measure.jain:.5f}",
        "-" if measure.share_error is None else f"{measure.share_error:.2%}",
        f"{measure.busy:.1%}",
        "-" if measure.busy_while_wanted is None else f"{measure.busy_while_wanted:.2%}",
    ]


def _tenant_cells(row: SimulatedTenantMeasure) -> list[str]:
    return [
        row.name[:30],
        f"{row.worker_seconds:,.1f}",
        f"{row.share:.2%}",
        f"{row.entitled_share:.2%}",
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        f"{row.starts:,}",
        f"{row.unstarted:,}",
        *("-" if wait is None else f"{wait:.3f}" for wait in (row.wait_p50, row.wait_p95, row.wait_p99, row.wait_max)),
    ]


def _align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([first.strip().ljust(widths[0]), *others])
