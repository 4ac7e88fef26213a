"""Replay of arrivals tick by tick with the reference model, whose result a simulation must equal."""

from __future__ import annotations

from math import inf
from uuid import UUID

from scheduling.fairness.lab import Arrivals, TreeShape
from tests.fair_model import Model, Queue, Tenant

PLENTY = 10**6


def replay_model(arrivals: Arrivals, shape: TreeShape, slots: int) -> list[tuple[int, int, int]]:
    """Return (job, start, end) of each dispatch, with one tick at each arrival or end.

    A tenant weighs the same in all queues.
    """
    model = Model(slots=slots)
    for number, queue in enumerate(shape.queues):
        model.queues[number] = Queue(queue.weight_milli, cap=_count(queue.cap), is_fifo=queue.is_fifo)
    weights = {row.tenant: row.weight_milli for row in shape.entities}
    for number, cap in enumerate(shape.caps):
        model.tenants[UUID(int=number)] = Tenant(weights[number], cap=_count(cap))
    charges = arrivals.predicted_us or arrivals.cost_us
    coming = list(range(len(arrivals)))
    ends: list[tuple[int, int]] = []
    spans: list[tuple[int, int, int]] = []
    while coming or ends:
        now = min([end for end, _ in ends] + [arrivals.at_us[job] for job in coming[:1]])
        for end, job in sorted(ends):
            if end <= now:
                ends.remove((end, job))
                model.end(UUID(int=job), arrivals.cost_us[job])
        while coming and arrivals.at_us[coming[0]] <= now:
            job = coming.pop(0)
            number = arrivals.entity[job]
            row = shape.entities[number]
            entity = model.entity(row.queue, UUID(int=row.tenant), number)
            key = "" if arrivals.key is None else f"key {arrivals.key[job]}"
            line_id = number if arrivals.key is None else len(shape.entities) + arrivals.key[job]
            model.submit(entity, key, line_id, (job, UUID(int=job), charges[job]))
        for picked in model.tick():
            job = picked.int
            ends.append((now + arrivals.cost_us[job], job))
            spans.append((job, now, now + arrivals.cost_us[job]))
    return spans


def _count(cap: float) -> int:
    return PLENTY if cap == inf else int(cap)
