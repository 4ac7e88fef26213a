"""Promises of the fair order, verified by checkers that each find a planted bug."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests import fair_model_mutants as bugs
from tests.examples import scaled
from tests.fair_checks import (
    Violations,
    beyond_the_bound,
    gain_of_splitting,
    idle_slots,
    lost_by_weight,
    out_of_order,
    starved,
    unbalanced,
)
from tests.fair_model import Model
from tests.fair_runs import POOL, QUEUE, Group, QueueTerms, Run, Work

# Different examples in each run: the promises are proven, so a violation is a bug. The blob reproduces it.
MANY = settings(max_examples=scaled(200), deadline=None, print_blob=True)
MILLISECOND = 1_000
# Costs from microseconds to hours.
MOST = 10**10


@dataclass(frozen=True)
class Tree:
    """Parameters of a run; the seed determines costs and their predictions."""

    works: tuple[Work, ...]
    queues: dict[int, QueueTerms]
    slots: int
    seed: int

    def run(self, kind: type[Model] = Model, *, errors: float | None = None) -> Run:
        """Run the model; with ``errors``, predictions are wrong by about this many orders of magnitude."""
        chance = Random(self.seed)
        if errors is None:
            return Run(kind, self.works, self.slots, queues=self.queues)
        return Run(
            kind, self.works, self.slots, queues=self.queues, predict=lambda cost: draw_error(chance, cost, errors)
        )


def draw_error(chance: Random, cost: int, errors: float) -> int:
    return max(1, min(MOST, round(cost * 10 ** chance.gauss(0, errors))))


def draw_cost(chance: Random, tail: float) -> int:
    """Draw from a distribution without a variance, or without a mean for the heaviest tails."""
    return min(MOST, round(MILLISECOND * chance.paretovariate(tail)))


@st.composite
def trees(
    draw: st.DrawFn,
    *,
    comes_and_goes: bool = True,
    caps: bool = True,
    queues: int = 4,
    tenants: int = 8,
    jobs: int = 160,
) -> Tree:
    seed = draw(st.integers(0, 2**32))
    chance = Random(seed)
    terms = {
        QUEUE + n: QueueTerms(draw(st.integers(1, 8)), draw(st.sampled_from([1, 3, 10**6])) if caps else 10**6)
        for n in range(draw(st.integers(1, queues)))
    }
    count = draw(st.integers(2, tenants))
    tails = [draw(st.sampled_from([0.4, 0.8, 1.5, 5.0])) for _ in range(count)]
    keys = draw(st.integers(1, 4))
    tenant_terms = [(draw(st.integers(1, 20)), draw(st.sampled_from([1, 2, 10**6])) if caps else 10**6) for _ in tails]
    # Some tenants have work in two queues, under one cap.
    places = [(n, draw(st.sampled_from(sorted(terms)))) for n in range(count)]
    places += [
        (n, queue) for n in range(count) for queue in terms if (n, queue) not in places and chance.random() < 0.2
    ]
    horizon = 200 * MILLISECOND * chance.randrange(1, 20) if comes_and_goes and draw(st.booleans()) else 0
    each = max(2, jobs // len(places))
    works = []
    for tenant, queue in places:
        bursts = [0, *(chance.randrange(horizon) for _ in range(3))] if horizon else [0]
        first = chance.choice(bursts)
        ats = sorted(max(first, chance.choice(bursts)) for _ in range(each))
        names = ["", *(f"k{n}" for n in range(1, keys))]
        weight, cap = tenant_terms[tenant]
        made = tuple((chance.choice(names), draw_cost(chance, tails[tenant]), at) for at in ats)
        works.append(Work(weight, made, cap, queue, tenant))
    return Tree(tuple(works), terms, draw(st.one_of(st.integers(1, 8), st.integers(1, 100))), seed)


@MANY
@given(tree=trees())
def test_fair_order_keeps_its_bound_without_starvation_or_idle_slots(tree: Tree) -> None:
    run = tree.run()
    assert beyond_the_bound(run) == []
    assert starved(run) == []
    assert idle_slots(run) == []
    assert unbalanced(run) == []


@MANY
@given(tree=trees(caps=False), errors=st.sampled_from([0.1, 0.5, 2.0]))
def test_wrong_predictions_loosen_the_bound_by_jobs_in_flight_only(tree: Tree, errors: float) -> None:
    run = tree.run(errors=errors)
    assert beyond_the_bound(run) == []
    assert idle_slots(run) == []
    assert unbalanced(run) == []
    assert len(run.starts) == len(run.jobs)


@MANY
@given(tree=trees(comes_and_goes=False, caps=False), data=st.data())
def test_more_weight_never_means_less_service(tree: Tree, data: st.DataObject) -> None:
    """For any tenant among those of its queue, and any queue among those of the pool."""
    factor = data.draw(st.integers(2, 100), label="factor")
    number = data.draw(st.integers(0, len(tree.works) - 1), label="work")
    chosen = tree.works[number]
    works = tuple(
        replace(work, weight=work.weight * factor) if work.tenant == chosen.tenant else work for work in tree.works
    )
    run = tree.run()
    assert lost_by_weight(run, replace(tree, works=works).run(), ("queue", chosen.queue), number) == []
    terms = tree.queues[chosen.queue]
    queues = tree.queues | {chosen.queue: replace(terms, weight=terms.weight * factor)}
    assert lost_by_weight(run, replace(tree, queues=queues).run(), POOL, chosen.queue) == []


@st.composite
def splits(draw: st.DrawFn) -> tuple[Tree, str]:
    """Draw two equal tenants with permanent work, one of which splits it over keys that come and go."""
    seed = draw(st.integers(0, 2**32))
    chance = Random(seed)
    keys, slots = draw(st.integers(2, 50)), draw(st.one_of(st.integers(1, 8), st.integers(1, 100)))
    jobs = [[chance.randrange(40, 61) * MILLISECOND for _ in range(160)] for _ in range(2)]
    lives = draw(st.sampled_from(["all along", "one after the other", "in bursts"]))
    spread = 160 * 50 * MILLISECOND // slots

    def key_of(n: int) -> str:
        return f"k{n * keys // 160 if lives == 'one after the other' else n % keys}"

    def at_of(n: int) -> int:
        # The first half exists from the start, so that the tenant is never idle.
        return 0 if lives == "all along" or n < 80 else chance.randrange(1, 2 + n % keys) * spread // keys // 2

    split = sorted((at_of(n), key_of(n), cost) for n, cost in enumerate(jobs[0]))
    works = (
        Work(1, tuple((key, cost, at) for at, key, cost in split)),
        Work(1, tuple(("", cost, 0) for cost in jobs[1])),
    )
    return Tree(works, {QUEUE: QueueTerms()}, slots, seed), lives


@MANY
@given(split=splits())
def test_splitting_work_over_keys_gains_at_most_two_percent(split: tuple[Tree, str]) -> None:
    tree, lives = split
    event(lives)
    assert gained(tree) == []


def gained(tree: Tree, kind: type[Model] = Model) -> Violations:
    gain = gain_of_splitting(tree.run(kind), 0, 1, group=("queue", QUEUE))
    return [f"{gain:.1%}"] if gain is not None and gain > 0.02 else []


def typical(*, late: bool = False, cap: int = 10**6, queues: int = 1, queue_cap: int = 10**6) -> Tree:
    """Return three tenants with three keys each; with two queues, the last tenant is alone in its own."""
    chance = Random(7)
    works = tuple(
        Work(
            weight,
            tuple(
                (("", "k1", "k2")[n % 3], chance.randrange(1, 60) * MILLISECOND, 300 * MILLISECOND * (late and alone))
                for n in range(60)
            ),
            cap,
            QUEUE + (number == 2 and queues == 2),
        )
        for number, weight in enumerate((1, 2, 5))
        for alone in [number == queues]
    )
    terms = {QUEUE: QueueTerms(1, queue_cap), QUEUE + 1: QueueTerms(4)}
    return Tree(works, dict(list(terms.items())[:queues]), 3, 7)


def equal() -> Tree:
    works = tuple(Work(1, tuple(("", MILLISECOND, 0) for _ in range(5))) for _ in range(4))
    return Tree(works, {QUEUE: QueueTerms()}, 1, 0)


def split_in_twenty() -> Tree:
    chance = Random(4)
    jobs = [[chance.randrange(40, 61) * MILLISECOND for _ in range(160)] for _ in range(2)]
    works = (
        Work(1, tuple((f"k{n % 20}", cost, 0) for n, cost in enumerate(jobs[0]))),
        Work(1, tuple(("", cost, 0) for cost in jobs[1])),
    )
    return Tree(works, {QUEUE: QueueTerms()}, 5, 0)


def known(check: Callable[[Run], Violations]) -> Callable[[Tree, type[Model]], Violations]:
    return lambda tree, kind: check(tree.run(kind))


def guessed(check: Callable[[Run], Violations]) -> Callable[[Tree, type[Model]], Violations]:
    return lambda tree, kind: check(tree.run(kind, errors=1.0))


def heavier(group: Group, member: int) -> Callable[[Tree, type[Model]], Violations]:
    """Return the loss of a member that weighs eight times as much."""

    def check(tree: Tree, kind: type[Model]) -> Violations:
        works, queues = tree.works, tree.queues
        if group == POOL:
            queues = queues | {member: replace(queues[member], weight=queues[member].weight * 8)}
        else:
            works = tuple(replace(one, weight=one.weight * 8) if n == member else one for n, one in enumerate(works))
        return lost_by_weight(tree.run(kind), replace(tree, works=works, queues=queues).run(kind), group, member)

    return check


IN_QUEUE: Group = ("queue", QUEUE)
CAUGHT = [
    (known(beyond_the_bound), bugs.IgnoresWeights, typical()),
    (known(beyond_the_bound), bugs.InvertsWeights, typical()),
    (known(beyond_the_bound), bugs.GivesCredit, typical(late=True)),
    (known(beyond_the_bound), bugs.IgnoresKeys, typical()),
    (known(beyond_the_bound), bugs.IgnoresQueueWeights, typical(queues=2)),
    (known(beyond_the_bound), bugs.GivesQueuesCredit, typical(queues=2, late=True)),
    (known(beyond_the_bound), bugs.ServesQueuesInTurn, typical(queues=2)),
    (guessed(beyond_the_bound), bugs.ForgetsCorrections, typical()),
    (guessed(beyond_the_bound), bugs.ForgetsCorrectionsOfQueues, typical(queues=2)),
    (known(idle_slots), bugs.LeavesASlotIdle, typical()),
    (known(idle_slots), bugs.StopsAtCappedTenant, typical(cap=2)),
    (known(idle_slots), bugs.StopsAtCappedQueue, typical(queues=2, queue_cap=1)),
    (known(starved), bugs.NeverServesTheLast, typical()),
    (known(starved), bugs.SkipsTheLastOften, typical()),
    (known(starved), bugs.ServesQueuesInTurn, typical(queues=2)),
    (guessed(unbalanced), bugs.ForgetsCorrections, typical()),
    (guessed(unbalanced), bugs.ForgetsCorrectionsOfQueues, typical(queues=2)),
    (gained, bugs.CountsEachKey, split_in_twenty()),
    (heavier(IN_QUEUE, 0), bugs.InvertsWeights, typical()),
    (heavier(IN_QUEUE, 1), bugs.InvertsWeights, typical()),
    (heavier(POOL, QUEUE), bugs.InvertsQueueWeights, typical(queues=2)),
    (known(out_of_order), bugs.PrefersLatestArrival, equal()),
]


@pytest.mark.parametrize(("check", "bug", "tree"), CAUGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_each_checker_finds_its_planted_bug(
    check: Callable[[Tree, type[Model]], Violations], bug: type[Model], tree: Tree
) -> None:
    assert check(tree, Model) == []
    assert check(tree, bug)
