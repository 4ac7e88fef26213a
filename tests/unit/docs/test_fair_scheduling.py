"""The worked example of docs/concepts/fair_scheduling.md equals the result of the code."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

from scheduling.fairness.run_queue import EstimatedJobs, pick_fair
from scheduling.fairness.shares import PoolShare, QueueShare, TenantShare

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "fair_scheduling.md"
ROW = re.compile(r"^\| (\d+) \| (\w+) \| ([\d.]+) \|", re.MULTILINE)
SECOND = 1_000_000
# Name → weight, and cost of a job.
TENANTS = {"small": (1, 2 * SECOND), "middle": (2, SECOND), "large": (4, SECOND)}


def test_worked_example_equals_the_picks_of_the_code() -> None:
    documented = [(name, float(tag)) for _, name, tag in ROW.findall(DOCUMENT.read_text())]

    picked = [
        (list(TENANTS)[pick.entity_id], pick.start_tag / 1e9) for pick in pick_fair(pool(), EstimatedJobs()).picks
    ]

    assert len(documented) == 14
    assert documented == picked


def pool() -> PoolShare:
    tenants = [
        TenantShare(
            entity_id=number,
            tenant_id=UUID(int=number),
            weight_milli=weight * 1_000,
            vruntime=0,
            in_flight=0,
            head_rank=number,
            waiting=20,
            estimate_us=cost_us,
        )
        for number, (weight, cost_us) in enumerate(TENANTS.values())
    ]
    queue = QueueShare(
        queue_id=1,
        weight_milli=1_000,
        vruntime=0,
        virtual_time=0,
        was_backlogged=True,
        room=14,
        is_fifo=False,
        tenants=tenants,
    )
    return PoolShare(0, 14, [queue], {tenant.tenant_id: 99 for tenant in tenants})
