"""Read the first jobs of the lines that a pick may take from, with what each is predicted to cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from scheduling.conf import MERGE_BELOW_US
from scheduling.fairness.shares import ReadRows, ReadyJob
from scheduling.processors import registry
from scheduling.services.dispatching.gates import gate_before, memory_needs
from scheduling.services.dispatching.prediction import predicted_us, prediction_joins
from tenants.prepared import prepared_cursor

_ROWS = (
    """
SELECT a.entity_id, a.asked, r.rank, r.job_id, r.kind,
    -- A rate counts jobs, so those of a queue that has one do not travel together.
    r.travels_alone OR q.dispatches_per_minute IS NOT NULL,
    <predicted>,
    <gate>
FROM unnest(%(entity_ids)s::bigint[], %(asked)s::int[]) AS a(entity_id, asked)
    -- With a limit each row is looked up by its key: of a few thousand tenants the planner would rather read all.
    CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
    JOIN scheduling_queue q ON q.id = e.queue_id
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_job_ready r WHERE r.entity_id = a.entity_id
          AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
        ORDER BY r.rank, r.job_id LIMIT a.asked
    ) r
    <joins>
ORDER BY a.entity_id, r.rank, r.job_id
""".replace("<predicted>", predicted_us("r"))
    .replace("<joins>", prediction_joins("r"))
    .replace("<gate>", gate_before("q.pool_id"))
)


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
    with prepared_cursor() as cursor:
        values = {"entity_ids": list(wanted), "asked": list(wanted.values()), "kind": kind, "needs": memory_needs()}
        cursor.execute(_ROWS, values)
        for entity_id, _, rank, job_id, job_kind, travels_alone, predicted, gate in cursor.fetchall():
            if gate is not None:
                hidden.add(entity_id)
                continue
            may_merge = predicted < MERGE_BELOW_US and not travels_alone and registry.is_mergeable(job_kind)
            cost_us = predicted if slice_us is None else min(predicted, slice_us)
            jobs[entity_id].append(ReadyJob(job_id, rank, job_kind, cost_us, may_merge, predicted))
    return RowsReading(
        # Behind a job that was set aside there may be others: read no more than was seen.
        rows={
            entity_id: ReadRows(len(jobs[entity_id]) if entity_id in hidden else asked, jobs[entity_id])
            for entity_id, asked in wanted.items()
        },
        gated={entity_id: wanted[entity_id] for entity_id in hidden},
    )
