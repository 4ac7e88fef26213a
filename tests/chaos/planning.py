"""Selection of rows and seeds, and their order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.row import Row


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs of one row, which share a stack."""

    row: type[Row]
    seeds: Sequence[int]


def plan_rows(
    rows: Mapping[str, type[Row]], *, only: Sequence[str], seeds: int, first_seed: int, without: Collection[str] = ()
) -> list[Plan]:
    """Return the requested rows, or all, except some.

    The longest come first, so that none runs alone at the end; rows that need the whole machine come last.
    """
    chosen = [row for name, row in rows.items() if (not only or name in only) and name not in without]
    plans = [Plan(row, range(first_seed, first_seed + (seeds or row.seeds))) for row in chosen]
    return sorted(plans, key=lambda plan: (plan.row.is_alone, -plan.row.minutes))
