"""Read the first jobs of the lines that a pick may take from, with what each is predicted to cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from psycopg.rows import namedtuple_row

from scheduling.conf import MERGE_BELOW_US
from scheduling.dispatch.gates import memory_needs
from scheduling.fairness.shares import ReadRows, ReadyJob
from scheduling.kit import registry
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_ROWS = load_sql(__file__)["read_rows"]


@dataclass(frozen=True, slots=True)
class RowsReading:
    """The jobs read for each entity; ``gated`` has those entities where a job behind a gate was met, with how many of
    their jobs were read. ``kept`` are those of which somebody else holds such a job, so that it was not set aside.
    """

    rows: Mapping[int, ReadRows]
    gated: Mapping[int, int]
    kept: Collection[int] = ()

    def keeping(self, entity_ids: Collection[int]) -> RowsReading:
        """With these kept: for now they have no more jobs than those that were read."""
        kept = {id_: replace(self.rows[id_], asked=self.rows[id_].asked + 1) for id_ in entity_ids}
        return replace(self, rows={**self.rows, **kept}, kept=entity_ids) if kept else self


def read_rows(wanted: Mapping[int, int], *, kind: str | None = None, slice_us: int | None = None) -> RowsReading:
    """The first ``wanted`` ready jobs of each entity with their predicted costs: one statement.

    A hand-out is charged its first slice; what goes on beyond it, another when that is used.
    """
    jobs: dict[int, list[ReadyJob]] = defaultdict(list)
    hidden: set[int] = set()
    if not wanted:
        return RowsReading({}, {})
    with prepared_cursor(namedtuple_row) as cursor:
        values = {"entity_ids": list(wanted), "asked": list(wanted.values()), "kind": kind, "needs": memory_needs()}
        cursor.execute(_ROWS, values)
        for row in cursor.fetchall():
            if row.gate is not None:
                hidden.add(row.entity_id)
                continue
            whole_us = row.predicted_us
            may_merge = whole_us < MERGE_BELOW_US and not row.travels_alone and registry.is_mergeable(row.kind)
            cost_us = whole_us if slice_us is None else min(whole_us, slice_us)
            jobs[row.entity_id].append(ReadyJob(row.job_id, row.rank, row.kind, cost_us, may_merge, whole_us))
    return RowsReading(
        # Behind a job that was set aside there may be others: read no more than was seen.
        rows={
            entity_id: ReadRows(len(jobs[entity_id]) if entity_id in hidden else asked, jobs[entity_id])
            for entity_id, asked in wanted.items()
        },
        gated={entity_id: wanted[entity_id] for entity_id in hidden},
    )
