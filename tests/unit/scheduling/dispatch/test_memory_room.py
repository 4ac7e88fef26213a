"""The jobs and messages for which tenants' limits of memory have room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from scheduling.dispatch import memory_room
from scheduling.dispatch.memory_room import within_memory
from scheduling.dispatch.pick import RowsReading
from scheduling.dispatch.read import PoolReading
from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.kit import registry

LIMITED, FREE = uuid4(), uuid4()
CAP = 8


@pytest.fixture(autouse=True)
def _classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "memory_needs", lambda: {"large": 1_024, "medium": 512})


def leave(monkeypatch: pytest.MonkeyPatch, room: Mapping[UUID, int]) -> None:
    monkeypatch.setattr(memory_room, "read_memory_room", lambda tenant_ids: room)


def picked(kinds: Sequence[str], others: int = 0) -> tuple[Sequence[str], int, PoolShare, RowsReading, PoolReading]:
    """Return the kinds picked of the limited tenant and the number of the other's jobs, with what they came from."""
    tenants = [TenantShare(1, LIMITED, 1_000, 0, 0, 1, len(kinds), 1), TenantShare(2, FREE, 1_000, 0, 0, 1, others, 1)]
    queue = QueueShare(1, 1_000, 0, 0, was_backlogged=True, room=CAP, is_fifo=False, tenants=tenants)
    share = PoolShare(0, CAP, [queue], {LIMITED: CAP, FREE: CAP})
    rows = {
        1: ReadRows(CAP, [ReadyJob(uuid4(), rank, kind, 1_000) for rank, kind in enumerate(kinds)]),
        2: ReadRows(CAP, [ReadyJob(uuid4(), rank, "small", 1_000) for rank in range(others)]),
    }
    reading = PoolReading(share, CAP, 0, has_memory_limits=True)
    limited, found = within_memory(reading, RowsReading(rows, {}))
    picks = pick_fair(limited, ReadJobs(dict(found.rows))).picks
    of_limited = [pick.job.kind for pick in picks if pick.tenant_id == LIMITED]
    return of_limited, len(picks) - len(of_limited), limited, found, reading


@pytest.mark.parametrize(
    ("room", "kinds", "expected"),
    [
        (256, ["small"] * 3, ["small"]),
        (1_023, ["small"] * 5, ["small"] * 3),
        (0, ["small"] * 3, []),
        (-256, ["small"], []),
        (1_000, ["large", "small", "small"], ["small", "small"]),
        (1_024, ["large", "small"], ["large"]),
        (2_048, ["large", "large", "large"], ["large", "large"]),
        # The largest need counts for each, whichever are picked.
        (1_280, ["medium", "small", "small", "small"], ["medium", "small"]),
    ],
)
def test_picks_fit_the_room_and_others_are_not_affected(
    monkeypatch: pytest.MonkeyPatch, room: int, kinds: Sequence[str], expected: Sequence[str]
) -> None:
    leave(monkeypatch, {LIMITED: room})
    of_limited, others, _, _, _ = picked(kinds, others=4)
    assert of_limited == expected
    assert others == 4
    assert sum(memory_room.need_of(kind) for kind in of_limited) <= max(0, room)


def test_tenant_without_room_is_passed_over_and_keeps_its_room_by_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, {LIMITED: 0})
    _, _, limited, found, reading = picked(["small"])
    assert set(found.kept) == {1}
    assert limited.tenant_room == reading.share.tenant_room


def test_tenant_without_a_limit_is_not_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, {})
    of_limited, others, _, _, _ = picked(["large"] * 4, others=4)
    assert (len(of_limited), others) == (4, 4)
