"""Measurement of the recovery of jobs, on a simulated database."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from tests.chaos.row import Field
from tests.chaos.stack import NotInTimeError, Stack
from tests.chaos.view import Running

LOST_AT = 100.0


def running(number: int) -> Running:
    return Running(UUID(int=number), UUID(int=100 + number), 1, 4711, UUID(int=999))


class ConfiguredView:
    """View with configured answers; the second query finds what the first did not."""

    def __init__(self, settled: set[UUID], begun: Sequence[Mapping[UUID, float]]) -> None:
        self._settled, self._begun = settled, list(begun)

    def settled(self, jobs: Sequence[Running]) -> set[UUID]:
        return self._settled

    def restarted_after(self, lost: Sequence[Running]) -> Mapping[UUID, float]:
        return self._begun.pop(0) if len(self._begun) > 1 else self._begun[0]

    def states_of(self, job_ids: Sequence[UUID]) -> dict[UUID, str]:
        return dict.fromkeys(job_ids, "dispatched")


class RepeatingStack:
    """Stack that repeats a query ten times."""

    def __init__(self, view: ConfiguredView) -> None:
        self.view = view

    def until(self, question: Callable[[], Any], *, within: float, what: str) -> Any:
        for _ in range(10):
            if answer := question():
                return answer
        raise NotInTimeError(what)


def field(settled: set[UUID], *begun: Mapping[UUID, float]) -> Field:
    return Field(cast("Stack", RepeatingStack(ConfiguredView(settled, begun))), random.Random(1), 15.0)


def test_recovery_time_is_that_of_the_last_restarted_job() -> None:
    one, other = running(1), running(2)
    found = field(set(), {one.job_id: 103.0}, {one.job_id: 103.0, other.job_id: 107.0})
    assert found.restarted_after([one, other], LOST_AT) == 7.0


def test_job_that_ended_before_the_loss_is_not_awaited() -> None:
    one, other = running(1), running(2)
    assert field({one.job_id}, {other.job_id: 104.0}).restarted_after([one, other], LOST_AT) == 4.0
    assert field({one.job_id}, {}).restarted_after([one], LOST_AT) == 0.0


def test_job_that_never_restarts_is_reported_with_its_state() -> None:
    with pytest.raises(NotInTimeError, match="dispatched"):
        field(set(), {}).restarted_after([running(1)], LOST_AT)
