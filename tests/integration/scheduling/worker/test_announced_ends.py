"""When a worker tells that a slot is about to come free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from django.db import transaction

from scheduling.execution import message as execution
from scheduling.execution import turns
from scheduling.kit.base import Interrupted, JobContext
from scheduling.models import Job, LiveExecution
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.acts import submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The tokens that the worker announces; the settlement has not begun by then."""
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
    acme: Tenant, run: Run, follow: Follow, announced: list[UUID], process: Callable[[JobContext], object], state: str
) -> None:
    follow(process)
    for count in (1, 2):
        (job,) = submit(acme, kind="scripted")
        assert run(job).state == state
        assert len(set(announced)) == len(announced) == count


def test_what_takes_no_longer_than_a_tick_announces_nothing(
    acme: Tenant, run: Run, follow: Follow, announced: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SMALL_SECONDS", 3_600.0)
    follow(lambda context: None)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_jobs_of_one_message_announce_one_end(
    acme: Tenant,
    run_merged: RunMerged,
    follow: Follow,
    announced: list[UUID],
) -> None:
    follow(lambda context: None)
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert len(announced) == 1


class Playing:
    """Turns that take what a test says, by a clock that only they move, and how many were over at each announcement."""

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
        (Playing([10 * MS] * 5), [3]),
        (Playing([60 * MS] * 3), [3]),
        # It is the mean that counts: after the third, 45 ms have gone and one turn is left.
        (Playing([35 * MS, 5 * MS, 5 * MS, 5 * MS]), [3]),
        # Who was wrong says so when the work is done.
        (Playing([5 * MS] * 4 + [1.0]), [1, 5]),
        (Playing([5 * MS] * 3), []),
        (Playing([10 * MS] * 5, effects_of=1), [5]),
        (Playing([10 * MS] * 5, effects_of=4), [3]),
    ],
)
def test_small_jobs_announce_when_little_of_their_message_is_left(
    acme: Tenant,
    run_merged: RunMerged,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
    playing: Playing,
    announced_after: list[int],
) -> None:
    monkeypatch.setattr(turns, "time", playing)
    monkeypatch.setattr(execution, "announce_ending", playing.note)
    follow(playing.process)
    jobs: Sequence[Job] = submit(acme, len(playing._seconds), kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert playing.announced_after == announced_after


def test_a_worker_that_stops_announces_no_message_early(
    acme: Tenant, local: LocalWorker, run_merged: RunMerged, follow: Follow, announced: list[UUID]
) -> None:
    follow(lambda context: local.block.stop())
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    run_merged(jobs)
    assert announced == []


def test_a_process_that_is_spoiled_by_its_first_turn_announces_nothing(
    acme: Tenant, run_merged: RunMerged, follow: Follow, announced: list[UUID]
) -> None:
    follow(lambda context: transaction.atomic().__enter__())
    jobs: Sequence[Job] = submit(acme, 2, kind="scripted")
    with pytest.raises(SystemExit):
        run_merged(jobs)
    assert announced == []


def test_effects_may_take_long_so_nothing_is_announced_before_them(
    acme: Tenant, run: Run, follow: Follow, announced: list[UUID]
) -> None:
    follow(lambda context: context.in_settlement(lambda: None))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_what_is_given_up_without_a_word_announces_nothing(
    acme: Tenant, run: Run, follow: Follow, announced: list[UUID]
) -> None:
    follow(raising(Interrupted("fence_lost")))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "executing"
    assert announced == []


def test_a_worker_that_stops_announces_nothing(
    acme: Tenant,
    local: LocalWorker,
    run: Run,
    follow: Follow,
    announced: list[UUID],
) -> None:
    follow(lambda context: local.block.stop())
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert announced == []


def test_a_process_that_is_about_to_be_replaced_announces_nothing(
    acme: Tenant, run: Run, follow: Follow, announced: list[UUID]
) -> None:
    follow(lambda context: transaction.atomic().__enter__())
    (job,) = submit(acme, kind="scripted")
    with pytest.raises(SystemExit):
        run(job)
    assert announced == []
