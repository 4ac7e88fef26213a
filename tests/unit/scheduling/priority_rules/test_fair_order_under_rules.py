"""The order between tenants while rules move jobs within lines: it is the fair order of the pure tree."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from tests.examples import scaled
from tests.fair_checks import beyond_the_bound, idle_slots, unbalanced
from tests.moved_lines import MovesEqualJobs, MovesJobs
from tests.unit.scheduling.fairness.test_fair_order_properties import Tree, trees

MANY = settings(max_examples=scaled(200), deadline=None, print_blob=True)
COST = 20_000


@MANY
@given(tree=trees())
def test_moves_keep_the_bound_of_the_fair_order_and_its_sums(tree: Tree) -> None:
    run = tree.run(MovesJobs)
    assert beyond_the_bound(run) == []
    assert idle_slots(run) == []
    assert unbalanced(run) == []
    assert len(run.starts) == len(run.jobs)


def test_moves_of_jobs_that_cost_the_same_change_no_turn_and_no_clock_of_a_tick() -> None:
    """The model compares the picks of each tick with those without moves, of queues, tenants and keys."""

    @MANY
    @given(tree=trees())
    def run(tree: Tree) -> None:
        works = (replace(work, jobs=tuple((key, COST, at) for key, _, at in work.jobs)) for work in tree.works)
        replace(tree, works=tuple(works)).run(MovesEqualJobs)

    MovesJobs.differing = 0
    run()
    assert MovesJobs.differing > 0
