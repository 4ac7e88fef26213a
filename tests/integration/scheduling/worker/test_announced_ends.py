"""Announced ends: when a worker announces that a slot is about to become free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from django.db import transaction

from scheduling.execution import merged_message
from scheduling.execution import message as execution
from scheduling.kit.base import Interrupted, JobContext
from scheduling.models import Job, LiveExecution
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Return the tokens that the worker announces; the settlement must not have begun by then."""
    tokens: list[UUID] = []

    def note(token: UUID, queue: str) -> None:
        with all_tenants():
            assert LiveExecution.objects.filter(token=token, started_at__isnull=False, queue__name=queue).exists()
        tokens.append(token)

    monkeypatch.setattr(execution, "announce_ending", note)
    monkeypatch.setattr(execution, "SMALL_SECONDS", 0.0)
    return tokens


@pytest.mark.parametrize(
    ("process", "state"),
    [(lambda context: None, "completed"), (raising(ValueError("no")), "retryable")],
)
def test_each_message_announces_its_end_once(
    acme: Tenant,
    run: Run,
    set_processor: Follow,
    announced: list[UUID],
    process: Callable[[JobContext], object],
    state: str,
) -> None:
    set_processor(process)
    for count in (1, 2):
        (job,) = submit(acme, kind="scripted")
        assert run(job).state == state
        assert len(set(announced)) == len(announced) == count


def test_message_shorter_than_a_tick_announces_nothing(
    acme: Tenant, run: Run, set_processor: Follow, announced: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SMALL_SECONDS", 3_600.0)
    set_processor(lambda context: None)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_jobs_of_one_message_announce_one_end(
    acme: Tenant,
    run_merged: RunMerged,
    set_processor: Follow,
    announced: list[UUID],
) -> None:
    set_processor(lambda context: None)
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert len(announced) == 1


class ScriptedTurns:
    """Turns of scripted length on their own clock, and how many were over at each announcement."""

    def __init__(self, seconds: Sequence[float], *, effects_of: int | None = None) -> None:
        self._seconds = list(seconds)
        self._effects_of = effects_of
        self.now = 1_000.0
        self.over = 0
        self.announced_after: list[int] = []

    def monotonic(self) -> float:
        return self.now

    def process(self, context: JobContext) -> None:
        if self.over == self._effects_of:
            context.in_settlement(lambda: None)
        self.now += self._seconds[self.over]
        self.over += 1

    def note(self, token: UUID, queue: str) -> None:
        self.announced_after.append(self.over)


MS = 0.001


@pytest.mark.parametrize(
    ("playing", "announced_after"),
    [
        # Two turns of ten milliseconds are left after the third.
        (ScriptedTurns([10 * MS] * 5), [3]),
        (ScriptedTurns([60 * MS] * 3), [3]),
        # The mean decides: after the third, 45 ms have passed and one turn is left.
        (ScriptedTurns([35 * MS, 5 * MS, 5 * MS, 5 * MS]), [3]),
        # A wrong estimate: the end is announced when the work is done.
        (ScriptedTurns([5 * MS] * 4 + [1.0]), [1, 5]),
        (ScriptedTurns([5 * MS] * 3), []),
        (ScriptedTurns([10 * MS] * 5, effects_of=1), [5]),
        (ScriptedTurns([10 * MS] * 5, effects_of=4), [3]),
    ],
)
def test_small_jobs_announce_shortly_before_their_message_ends(
    acme: Tenant,
    run_merged: RunMerged,
    set_processor: Follow,
    monkeypatch: pytest.MonkeyPatch,
    playing: ScriptedTurns,
    announced_after: list[int],
) -> None:
    monkeypatch.setattr(merged_message, "time", playing)
    monkeypatch.setattr(execution, "announce_ending", playing.note)
    set_processor(playing.process)
    jobs: Sequence[Job] = submit(acme, len(playing._seconds), kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert playing.announced_after == announced_after


def test_stopping_worker_announces_no_merged_message(
    acme: Tenant, local: LocalWorker, run_merged: RunMerged, set_processor: Follow, announced: list[UUID]
) -> None:
    set_processor(lambda context: local.block.stop())
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    run_merged(jobs)
    assert announced == []


def test_process_spoiled_by_its_first_turn_announces_nothing(
    acme: Tenant, run_merged: RunMerged, set_processor: Follow, announced: list[UUID]
) -> None:
    set_processor(lambda context: transaction.atomic().__enter__())
    jobs: Sequence[Job] = submit(acme, 2, kind="scripted")
    with pytest.raises(SystemExit):
        run_merged(jobs)
    assert announced == []


def test_job_with_effects_announces_nothing_before_them(
    acme: Tenant, run: Run, set_processor: Follow, announced: list[UUID]
) -> None:
    set_processor(lambda context: context.in_settlement(lambda: None))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_job_that_lost_its_fence_announces_nothing(
    acme: Tenant, run: Run, set_processor: Follow, announced: list[UUID]
) -> None:
    set_processor(raising(Interrupted("fence_lost")))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "executing"
    assert announced == []


def test_stopping_worker_announces_nothing(
    acme: Tenant,
    local: LocalWorker,
    run: Run,
    set_processor: Follow,
    announced: list[UUID],
) -> None:
    set_processor(lambda context: local.block.stop())
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_process_about_to_be_replaced_announces_nothing(
    acme: Tenant, run: Run, set_processor: Follow, announced: list[UUID]
) -> None:
    set_processor(lambda context: transaction.atomic().__enter__())
    (job,) = submit(acme, kind="scripted")
    with pytest.raises(SystemExit):
        run(job)
    assert announced == []
