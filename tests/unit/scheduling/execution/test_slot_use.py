"""The announcement of a job's end before it, in the memory of one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from scheduling.execution import message
from scheduling.execution.message import SlotUse
from scheduling.worker.slots import SlotSemaphore
from tests.acceptance.processes import eventually

EARLY_SECONDS, AT_SECONDS = 10.0, 0.05


class Announced(list[Any]):
    """The announced tokens; `some` is set with the first."""

    def __init__(self) -> None:
        self.some = threading.Event()

    def note(self, token: Any, queue: str) -> None:
        self.append(token)
        self.some.set()


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> Announced:
    announced = Announced()
    monkeypatch.setattr(message, "announce_ending", announced.note)
    monkeypatch.setattr(message, "ANNOUNCED_EARLY_SECONDS", EARLY_SECONDS)
    return announced


@pytest.fixture
def use() -> Iterator[SlotUse]:
    permits = SlotSemaphore(1, spare_children=1)
    worker = SimpleNamespace(permits=permits, block=SimpleNamespace(is_stopping=False))
    use = SlotUse(cast("Any", worker), 0, uuid4(), "queue")
    assert use.begin() is not None
    yield use
    permits.finish(0)


def job(kind: str) -> Any:
    return SimpleNamespace(kind=kind, expected_us=int((EARLY_SECONDS + AT_SECONDS) * 1e6))


def run_as_long_as_foreseen(use: SlotUse, kind: str) -> None:
    """Run a job that takes between 0.05 and 20.05 s."""
    with use.announced_ahead(job(kind)):
        until = time.monotonic() + AT_SECONDS
        eventually(lambda: time.monotonic() >= until)


def test_end_is_announced_ahead_after_a_job_of_the_kind_that_ended_as_predicted(
    use: SlotUse, announced: Announced
) -> None:
    run_as_long_as_foreseen(use, "steady")
    assert announced == []
    with use.announced_ahead(job("steady")):
        assert announced.some.wait(60.0)
        assert use.worker.permits.fetchable == 2
    assert not use.is_given_back
    use.end(after_seconds=EARLY_SECONDS)
    assert announced == [use.token]
    assert use.is_given_back


def test_end_is_not_announced_ahead_after_a_job_that_ended_otherwise(use: SlotUse, announced: Announced) -> None:
    with use.announced_ahead(job("erratic")):
        pass
    with use.announced_ahead(job("erratic")):
        until = time.monotonic() + 2 * AT_SECONDS
        eventually(lambda: time.monotonic() >= until)
    assert announced == []


def test_slot_that_is_released_is_not_announced_any_more(use: SlotUse, announced: Announced) -> None:
    use.end(after_seconds=EARLY_SECONDS)
    use.announce_end(after_seconds=3 * EARLY_SECONDS, left_seconds=1.0)
    assert announced == [use.token]
    assert use.worker.permits.fetchable == 2
