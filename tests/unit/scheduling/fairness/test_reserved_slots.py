"""Reserved slots: the last free slots of a pool, for tenants below their entitlement while there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.fairness.run_queue import EstimatedJobs, pick_fair, reason_of
from scheduling.fairness.shares import Pick, PickReason, PoolShare, QueueShare, TenantShare
from tests.examples import scaled
from tests.unit.scheduling.fairness.shares import SECOND, pool, queue, tenant

MANY = settings(max_examples=scaled(300), deadline=None, print_blob=True)
RESERVES = [
    # The last slot goes to tenant 2, which is below its entitlement, although tenant 1 is next in fair order.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND)], 1, 2, [1, 2]),
    # Two reserved: both slots, until tenant 2 has its two.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND)], 2, 3, [1, 2, 2]),
    # Tenant 2 is at its entitlement, so the reserve is used in fair order.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND, in_flight=2)], 2, 3, [1, 1, 1]),
    # The rest of the reserve is used in fair order, too.
    ([tenant(1), tenant(2, vruntime=9_000 * SECOND, waiting=1)], 3, 3, [2, 1, 1]),
]


@pytest.mark.parametrize(("tenants", "reserved", "room", "expected"), RESERVES)
def test_reserved_slots_prefer_tenants_below_entitlement_and_never_idle(
    tenants: list[TenantShare], reserved: int, room: int, expected: list[int]
) -> None:
    parts = {1: 0.0, 2: 2.0}
    entitled = [replace(one, entitled_slots=parts[one.entity_id]) for one in tenants]
    share = replace(pool(queue(*entitled), room=room), reserved=reserved)
    picks = pick_fair(share, EstimatedJobs()).picks
    assert [pick.entity_id for pick in picks] == expected
    assert [reason_of(pick) is PickReason.RESERVED for pick in picks] == [
        n >= room - reserved and pick.entity_id == 2 for n, pick in enumerate(picks)
    ]


@st.composite
def shares(draw: st.DrawFn) -> PoolShare:
    """Draw tenants in up to three queues, some of them in two, at and below their entitlements and caps."""
    ids = iter(range(1, 100))
    tenants = draw(st.integers(1, 5))
    queues = []
    for number in range(draw(st.integers(1, 3))):
        rows = [
            replace(
                tenant(
                    next(ids),
                    vruntime=draw(st.integers(0, 20)) * 100 * SECOND,
                    in_flight=draw(st.integers(0, 4)),
                    head_rank=draw(st.integers(0, 3)),
                    waiting=draw(st.integers(1, 6)),
                    weight_milli=draw(st.integers(1, 5)) * 1_000,
                    estimate_us=draw(st.integers(1, 5)) * SECOND // 5,
                ),
                tenant_id=UUID(int=tenant_number),
                entitled_slots=draw(st.sampled_from([0.0, 0.5, 1.0, 2.5, 4.0])),
            )
            for tenant_number in draw(st.sets(st.integers(1, tenants), min_size=1))
        ]
        terms = {"weight_milli": draw(st.integers(1, 5)) * 1_000, "vruntime": draw(st.integers(0, 9)) * 100 * SECOND}
        queues.append(queue(*rows, queue_id=number + 1, room=draw(st.integers(0, 12)), **terms))
    caps = {number: draw(st.integers(0, 5)) for number in range(1, tenants + 1)}
    room = draw(st.integers(1, 12))
    return replace(pool(*queues, room=room, caps=caps), reserved=draw(st.integers(0, room)))


class Replay:
    """Expected state of the pool before each pick."""

    def __init__(self, share: PoolShare) -> None:
        self.tenants = {row.entity_id: (q, row) for q in share.queues for row in q.tenants}
        self.vruntime = {id_: row.vruntime for id_, (_, row) in self.tenants.items()}
        self.in_flight = {id_: row.in_flight for id_, (_, row) in self.tenants.items()}
        self.waiting = {id_: row.waiting for id_, (_, row) in self.tenants.items()}
        self.room = dict(share.tenant_room)
        self.queue_room = {q.queue_id: q.room for q in share.queues}

    def eligible(self) -> Iterator[tuple[QueueShare, TenantShare]]:
        for id_, (q, row) in self.tenants.items():
            if self.waiting[id_] > 0 and self.room[row.tenant_id] > 0 and self.queue_room[q.queue_id] > 0:
                yield q, row

    def below(self) -> list[tuple[QueueShare, TenantShare]]:
        return [(q, row) for q, row in self.eligible() if self.in_flight[row.entity_id] < row.entitled_slots]

    def turn(self, row: TenantShare) -> tuple[int, int, int, int]:
        id_ = row.entity_id
        return (self.vruntime[id_], self.in_flight[id_], row.head_rank, id_)

    def take(self, pick: Pick) -> None:
        _, row = self.tenants[pick.entity_id]
        self.vruntime[pick.entity_id] += row.estimate_us * 1_000_000 // row.weight_milli
        self.in_flight[pick.entity_id] += 1
        self.waiting[pick.entity_id] -= 1
        self.room[row.tenant_id] -= 1
        self.queue_room[pick.queue_id] -= 1


def broken_promises(share: PoolShare, picks: list[Pick]) -> list[str]:
    """Return the violations of the reserve's invariants by these picks."""
    found, replay = [], Replay(share)
    for n, pick in enumerate(picks):
        is_last, below = n >= share.room - share.reserved, replay.below()
        if is_last and below and pick.entity_id not in {row.entity_id for _, row in below}:
            found.append(f"pick {n} takes a reserved slot, and {len(below)} below their parts wait")
        rivals = below if is_last and below else list(replay.eligible())
        turns = {row.entity_id: replay.turn(row) for q, row in rivals if q.queue_id == pick.queue_id}
        if turns.get(pick.entity_id) != min(turns.values(), default=None):
            found.append(f"pick {n} is not the next of its queue among those that may")
        if pick.is_reserved != (is_last and bool(below)):
            found.append(f"pick {n} says of the reserve what is not so")
        replay.take(pick)
    if len(picks) < share.room and any(replay.eligible()):
        found.append(f"{share.room - len(picks)} slots idle while a tenant may start")
    return found


@MANY
@given(share=shares())
def test_reserve_keeps_its_invariants_and_idles_no_slot(share: PoolShare) -> None:
    picks = list(pick_fair(share, EstimatedJobs()).picks)
    assert broken_promises(share, picks) == []
    # The other slots are picked as without a reserve.
    free = list(pick_fair(replace(share, reserved=0), EstimatedJobs()).picks)
    assert picks[: share.room - share.reserved] == free[: share.room - share.reserved]


def typical(reserved: int = 2) -> PoolShare:
    ahead = replace(tenant(2, vruntime=9_000 * SECOND), entitled_slots=2.0)
    return replace(pool(queue(tenant(1), ahead, tenant(3, vruntime=10**12)), room=4), reserved=reserved)


def ignores_the_reserve(share: PoolShare) -> list[Pick]:
    return list(pick_fair(replace(share, reserved=0), EstimatedJobs()).picks)


def leaves_the_reserve_idle(share: PoolShare) -> list[Pick]:
    return ignores_the_reserve(replace(share, room=share.room - share.reserved))


def ignores_entitlements(share: PoolShare) -> list[Pick]:
    everybody = [
        replace(one, tenants=[replace(row, entitled_slots=9.0) for row in one.tenants]) for one in share.queues
    ]
    return list(pick_fair(replace(share, queues=everybody), EstimatedJobs()).picks)


@pytest.mark.parametrize("bug", [ignores_the_reserve, leaves_the_reserve_idle, ignores_entitlements])
def test_each_broken_invariant_is_found(bug: Callable[[PoolShare], list[Pick]]) -> None:
    assert broken_promises(typical(), list(pick_fair(typical(), EstimatedJobs()).picks)) == []
    assert broken_promises(typical(), bug(typical()))
