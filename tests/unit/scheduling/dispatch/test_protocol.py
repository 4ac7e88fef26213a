"""Thousands of histories of the protocol, one per seed: no job is lost, none counts twice, no cap is exceeded.

`PROTOCOL_SEEDS=100000` runs more of them, `PROTOCOL_FIRST_SEED=…` others; a failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import protocol_list_mutants as list_bugs
from tests import protocol_mutants as bugs
from tests.examples import scaled
from tests.protocol_checks import check_walk
from tests.protocol_random_walk import Walk
from tests.protocol_store import Store

SEEDS = int(os.environ.get("PROTOCOL_SEEDS") or scaled(3_000))
FIRST_SEED = int(os.environ.get("PROTOCOL_FIRST_SEED", "0"))
# A planted bug that this many histories do not show would never be found.
PATIENCE = 1_000


def test_every_history_keeps_the_invariants() -> None:
    problems = first_problems(Store, range(FIRST_SEED, FIRST_SEED + SEEDS))
    assert next(problems, None) is None


@pytest.mark.parametrize(
    ("bug", "promise"),
    [
        (bugs.ChecksNoFence, "I2"),
        (bugs.RescuesWithoutLease, "lives and beats"),
        (bugs.RepublishesTheSameToken, "superseded"),
        (bugs.CountsThenClaims, "I3"),
        (bugs.CommitsWithoutLock, "in flight 2 times"),
        (bugs.NeverRepublishes, "for ever"),
        (bugs.UsesWorkerClocks, "lives and beats"),
        (bugs.ForgetsCancel, "I9"),
        (bugs.IgnoresEarlyWake, "I1"),
        (bugs.NeverExhaustsRetries, "I8"),
        (bugs.NeverQuarantines, "I8"),
        (bugs.ForgetsEndedExecutions, "I10"),
        (list_bugs.HoldRaisesFences, "L9"),
        (list_bugs.HoldsTwice, "L3"),
        (list_bugs.BeginsAgain, "executing to executing"),
        (list_bugs.BeginsWithoutSettling, "L2"),
        (list_bugs.RollsBackWithTheBeginning, "L1"),
        (list_bugs.BeginsInAnyOrder, "L7"),
        (list_bugs.RepublishesHeld, "is held and was republished"),
        (list_bugs.SplitsMessages, "L2"),
        (list_bugs.RescuesHeldAsCrashed, "L4"),
        (list_bugs.BlamesForLostLeases, "L4"),
        (list_bugs.TakesBackBegun, "L1"),
        (list_bugs.DoesNotRenewHeld, "lives and beats"),
        (list_bugs.CountsJobsNotPlaces, "I10"),
        (list_bugs.ReversesAtTodaysWeight, "L10"),
        (list_bugs.NonceIsWorker, "L3"),
        (list_bugs.FinishesFromMemory, "L6"),
        (list_bugs.ForgetsPassedOver, "L6"),
        (list_bugs.EndsWithoutReturning, "L6"),
        (list_bugs.GoesOnUnsettled, "L2"),
        (list_bugs.ParentReadsOnce, "L6"),
        (list_bugs.BlamesWholeList, "L4"),
        (list_bugs.BlamesUnrun, "L4"),
    ],
)
def test_planted_bug_is_found(bug: type[Store | Walk], promise: str) -> None:
    found = (problem for problems in first_problems(bug, range(PATIENCE)) for problem in problems)
    assert any(promise in problem for problem in found)


def first_problems(kind: type[Store | Walk], seeds: range) -> Iterator[list[str]]:
    """Yield the problems of each seed that has any, with the seed."""
    for seed in seeds:
        walk = Walk(kind, seed) if issubclass(kind, Store) else kind(Store, seed)
        if problems := check_walk(walk):
            yield [f"seed {seed}, {problem}" for problem in problems]
