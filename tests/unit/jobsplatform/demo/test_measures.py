"""Conclusions of the demonstration from the records of a run."""

from uuid import UUID

import pytest

from jobsplatform.demo.measures import (
    MINIMUM_STARTS,
    Run,
    ShareTerms,
    Window,
    backlogged_window,
    fifo_waits_by_tenant,
    percentile,
    shares_within,
    waits_by_tenant,
)

ACME, GLOBEX = UUID(int=1), UUID(int=2)
SECOND = 1_000_000


def run(tenant, arrived, started, ended):
    """Return a run with times in seconds."""
    cost = (ended - started) * SECOND
    return Run(tenant, arrived * SECOND, started * SECOND, ended * SECOND, cost, cost)


def in_turns(count, *, second=0):
    """Return runs of both tenants that alternate on one slot, a second each; globex arrives at `second`."""
    runs = []
    for turn in range(count):
        tenant = (ACME, GLOBEX)[turn % 2]
        runs.append(run(tenant, second if tenant == GLOBEX else 0, turn, turn + 1))
    return runs


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([7], 0.95, 7),  # one value is every percentile
        ([1, 2, 3, 4], 0.5, 2),  # the nearest rank, never an interpolated value
        (list(range(1, 101)), 0.95, 95),
        ([4, 1, 3, 2], 1.0, 4),  # the order of the input is irrelevant
    ],
)
def test_percentile_is_a_value_that_occurred(values, part, expected):
    assert percentile(values, part) == expected


def test_window_spans_from_last_first_arrival_to_first_last_start():
    runs = in_turns(MINIMUM_STARTS + 4, second=1)
    assert backlogged_window(runs) == Window(1 * SECOND, (MINIMUM_STARTS + 2) * SECOND)


def test_tenants_that_never_waited_together_have_no_window():
    runs = [run(ACME, 0, second, second + 1) for second in range(20)]
    runs += [run(GLOBEX, 30, 30 + second, 31 + second) for second in range(20)]
    assert backlogged_window(runs) is None


def test_too_few_starts_have_no_window():
    assert backlogged_window(in_turns(MINIMUM_STARTS - 2)) is None


def test_empty_list_of_runs_has_no_window():
    assert backlogged_window([]) is None


def test_shares_count_only_the_part_of_a_run_inside_the_window():
    runs = [run(ACME, 0, 0, 4), run(GLOBEX, 0, 4, 8)]
    shares = shares_within(
        Window(3 * SECOND, 7 * SECOND), runs, {ACME: ShareTerms(1, 5), GLOBEX: ShareTerms(3, 5)}, slots=1
    )
    assert shares[ACME].received == pytest.approx(0.25)
    assert shares[ACME].entitled == pytest.approx(0.25)
    assert shares[GLOBEX].ratio == pytest.approx(1.0)


def test_cap_below_the_weight_lowers_the_entitlement():
    shares = shares_within(
        Window(0, SECOND), [run(ACME, 0, 0, 1)], {ACME: ShareTerms(9, 1), GLOBEX: ShareTerms(1, 9)}, slots=4
    )
    assert shares[ACME].entitled == pytest.approx(0.25)
    assert shares[GLOBEX].entitled == pytest.approx(0.75)


def test_late_tenant_waits_for_the_whole_flood_under_fifo():
    runs = [run(ACME, 0, 2 * place + 1, 2 * place + 2) for place in range(10)] + [run(GLOBEX, 1, 2, 3)]
    assert waits_by_tenant(runs)[GLOBEX].p50_us == 1 * SECOND
    assert fifo_waits_by_tenant(runs, slots=1)[GLOBEX].p50_us == 9 * SECOND


def test_fifo_uses_all_slots_regardless_of_caps():
    runs = [run(ACME, 0, place, place + 1) for place in range(4)]
    assert fifo_waits_by_tenant(runs, slots=2)[ACME].p95_us == 1 * SECOND
