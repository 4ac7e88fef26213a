"""Waits of all tenants before and after a change: values calculated by hand, and invariants."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.eta import Backlog, EtaInput, QueueBacklogs, estimate_start
from scheduling.fairness.wait_projection import QueueWork, TenantWork, drain_times, project_waits

SECOND = 1e6


def work(
    tenant: str, now: float, after: float | None = None, *, weight: float = 1.0, cap: float = inf
) -> TenantWork[str]:
    return TenantWork(tenant, weight, now * SECOND, (now if after is None else after) * SECOND, cap)


def waits(
    *tenants: TenantWork[str], slots: int = 1, running: tuple[float, ...] = (), is_fifo: bool = False
) -> dict[str, tuple[float, float]]:
    changes = project_waits(slots, [QueueWork(1.0, tenants)], [end * SECOND for end in running], is_fifo=is_fifo)
    return {row.tenant: (round(row.now_us / SECOND, 3), round(row.after_us / SECOND, 3)) for row in changes}


def test_removed_work_shortens_the_waits_of_others() -> None:
    # Shared evenly until the shorter one ends.
    assert waits(work("acme", 10, 0), work("globex", 30)) == {"globex": (40, 30), "acme": (20, 0)}


def test_added_work_lengthens_waits_and_longest_increase_is_first() -> None:
    found = waits(work("acme", 0, 30), work("globex", 10), work("initech", 5))
    assert found == {"acme": (0, 45), "globex": (15, 25), "initech": (10, 15)}
    assert list(found) == ["acme", "globex", "initech"]


def test_small_change_of_work_changes_waits_little() -> None:
    now, after = waits(work("acme", 1, 0), work("globex", 1_000))["globex"]
    assert now - after == 1


@pytest.mark.parametrize(
    ("tenants", "options", "expected"),
    [
        ([work("acme", 12)], {"slots": 4}, 3),
        ([work("acme", 12, cap=2)], {"slots": 4}, 6),
        # Nothing flows before the first slot is free; then half the pool flows until the second is.
        ([work("acme", 6)], {"slots": 2, "running": (5, 9)}, 10),
        # Two that end at the same time count as two.
        ([work("acme", 1)], {"slots": 2, "running": (1, 1)}, 1.5),
        # Nothing ahead, but no slot either.
        ([work("acme", 0)], {"slots": 1, "running": (7,)}, 7),
        ([work("acme", 3)], {"slots": 0}, inf),
        ([work("acme", 3), work("globex", 9)], {"is_fifo": True}, 12),
    ],
)
def test_current_wait_has_the_expected_value(
    tenants: list[TenantWork[str]], options: dict[str, object], expected: float
) -> None:
    assert waits(*tenants, **options)["acme"][0] == expected  # type: ignore[arg-type]


def test_tenant_in_two_queues_has_the_longer_wait() -> None:
    queues = [QueueWork(1.0, [work("acme", 2)]), QueueWork(3.0, [work("acme", 9), work("globex", 100)])]
    (acme,) = (row for row in project_waits(4, queues) if row.tenant == "acme")
    assert acme.now_us / SECOND == pytest.approx(18 / 3.5, rel=0.1)


def test_tenants_without_name_count_and_are_not_listed() -> None:
    crowd = TenantWork[str](None, 5.0, 50 * SECOND, 50 * SECOND)
    assert waits(work("acme", 10), crowd) == {"acme": (60, 60)}


def test_ends_of_many_running_jobs_are_grouped() -> None:
    gone = drain_times(1_000, [QueueBacklogs(1.0, [Backlog(1.0, SECOND)])], [SECOND * n for n in range(1, 1_001)])
    assert 0 < gone[0][0] < 60 * SECOND


works = st.lists(
    st.tuples(
        st.floats(0.0, 1e4), st.floats(0.1, 10.0), st.one_of(st.just(inf), st.floats(0.5, 8.0))
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip
pools = st.lists(st.tuples(st.floats(0.1, 10.0), works), min_size=1, max_size=3)


def flow(pool: list[tuple[float, list[tuple[float, float, float]]]], extra: float = 0.0) -> list[QueueBacklogs]:
    queues = [
        QueueBacklogs(weight, [Backlog(own, seconds * SECOND, cap) for seconds, own, cap in rows])
        for weight, rows in pool
    ]
    first = queues[0].backlogs[0]
    more = Backlog(first.weight, first.work_us + extra * SECOND, first.cap)
    queues[0] = QueueBacklogs(queues[0].weight, [more, *queues[0].backlogs[1:]])
    return queues


@given(pool=pools, slots=st.integers(1, 16), extra=st.floats(0.0, 1e4))
def test_more_work_of_one_tenant_shortens_no_wait(
    pool: list[tuple[float, list[tuple[float, float, float]]]], slots: int, extra: float
) -> None:
    before, after = drain_times(slots, flow(pool)), drain_times(slots, flow(pool, extra))
    for rows, later in zip(before, after, strict=True):
        for now, then in zip(rows, later, strict=True):
            assert then >= now or then == pytest.approx(now, rel=1e-6, abs=10)


@given(pool=pools, slots=st.integers(1, 16))
def test_slots_do_not_idle_while_a_tenant_may_use_them(
    pool: list[tuple[float, list[tuple[float, float, float]]]], slots: int
) -> None:
    uncapped = [(weight, [(seconds, own, inf) for seconds, own, _ in rows]) for weight, rows in pool]
    total = sum(seconds for _, rows in uncapped for seconds, _, _ in rows if seconds * SECOND >= 1)
    gone = [time for rows in drain_times(slots, flow(uncapped)) for time in rows if time < inf]
    assert max(gone, default=0.0) == pytest.approx(total * SECOND / slots, rel=1e-6, abs=10)


@given(pool=pools, slots=st.integers(1, 16), running=st.lists(st.floats(0.0, 1e3), max_size=5))
def test_wait_agrees_with_the_estimate_of_one_job(
    pool: list[tuple[float, list[tuple[float, float, float]]]], slots: int, running: list[float]
) -> None:
    ends = [end * SECOND for end in running]
    queues = flow(pool, extra=1.0)
    own = queues[0].backlogs[0]
    others = [QueueBacklogs(queues[0].weight, queues[0].backlogs[1:]), *queues[1:]]
    estimate = estimate_start(EtaInput(slots, others, own, ends))
    expected = inf if estimate is None else estimate.wait_us
    assert drain_times(slots, queues, ends)[0][0] == pytest.approx(expected, rel=1e-6, abs=10)
