"""Thousands of histories of the protocol, one per seed: no job is lost, none counts twice, no cap is exceeded.

`PROTOCOL_SEEDS=100000` runs more of them, `PROTOCOL_FIRST_SEED=…` others; a failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import protocol_mutants as bugs
from tests.examples import scaled
from tests.protocol_checks import check_walk
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
    ],
)
def test_planted_bug_is_found(bug: type[Store], promise: str) -> None:
    found = (problem for problems in first_problems(bug, range(PATIENCE)) for problem in problems)
    assert any(promise in problem for problem in found)


def first_problems(kind: type[Store], seeds: range) -> Iterator[list[str]]:
    """Yield the problems of each seed that has any."""
    return (problems for seed in seeds if (problems := check_walk(kind, seed)))
