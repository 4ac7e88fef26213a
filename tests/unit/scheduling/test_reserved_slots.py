"""Reserved slots: the last free slots of a pool, for tenants below their entitlement as long as there are any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduling.fairness.run_queue import EstimatedSupply, pick_fair
from scheduling.fairness.shares import Reason, TenantShare
from tests.unit.scheduling.shares import SECOND, pool, queue, tenant

RESERVES = [
    # The last slot goes to tenant 2, which is below its part, though tenant 1 is next in fair order.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND)], 1, 2, [1, 2]),
    # Two reserved: both slots, until tenant 2 has its two.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND)], 2, 3, [1, 2, 2]),
    # Tenant 2 is at its part, so the reserve is anybody's, in fair order.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND, in_flight=2)], 2, 3, [1, 1, 1]),
    # What those below their part leave is anybody's too.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND, waiting=1)], 3, 3, [2, 1, 1]),
]


@pytest.mark.parametrize(("tenants", "reserved", "room", "expected"), RESERVES)
def test_reserved_slots_are_for_those_below_their_part_and_never_idle(
    tenants: list[TenantShare], reserved: int, room: int, expected: list[int]
) -> None:
    parts = {1: 0.0, 2: 2.0}
    entitled = [replace(one, entitled_slots=parts[one.entity_id]) for one in tenants]
    share = replace(pool(queue(*entitled), room=room), reserved=reserved)
    picks = pick_fair(share, EstimatedSupply()).picks
    assert [pick.entity_id for pick in picks] == expected
    assert [pick.reason is Reason.RESERVED for pick in picks] == [
        n >= room - reserved and pick.entity_id == 2 for n, pick in enumerate(picks)
    ]
