"""Projected times until the jobs of each queue have ended, if no more arrive: by predicted costs and fair shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import inf

from scheduling.fairness.eta import Backlog, QueueBacklogs, rate_cap
from scheduling.fairness.wait_projection import drain_times
from scheduling.models import Queue
from scheduling.shares.demands import read_pools
from scheduling.shares.raw import fetch_rows
from tenants.database.sql import load_sql

_BACKLOGS = load_sql(__file__)["read_backlogs"]


def project_drains(queues: Sequence[Queue]) -> dict[int, float]:
    """Return by queue id the seconds until its jobs have ended, in three queries that do not read jobs.

    Jobs of stopped tenants do not count. A queue that is paused or has no slots is not in the result.
    """
    slots_by_pool, open_queues = read_pools()
    rates = {queue.pk: queue.dispatches_per_minute for queue in queues}
    backlogs: dict[int, list[Backlog]] = defaultdict(list)
    for row in fetch_rows(_BACKLOGS):
        backlogs[row.queue_id].append(Backlog(row.weight, row.work_us, row.cap, row.jobs))
    found: dict[int, float] = {}
    for pool_id, slots in slots_by_pool.items():
        own = [queue for queue in open_queues if queue.pool_id == pool_id and backlogs[queue.queue_id]]
        flow = [
            QueueBacklogs(
                queue.weight,
                backlogs[queue.queue_id],
                min(
                    inf if queue.cap is None else queue.cap,
                    rate_cap(rates.get(queue.queue_id), backlogs[queue.queue_id]),
                ),
            )
            for queue in own
        ]
        for queue, times in zip(own, drain_times(slots, flow), strict=True):
            if max(times) < inf:
                found[queue.queue_id] = max(times) / 1e6
    return found
