"""When a worker tells that a slot is about to come free."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from django.db import transaction

from scheduling.models import Job, LiveExecution
from scheduling.processors.base import Interrupted, JobContext
from scheduling.worker import execution
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
    monkeypatch.setattr(execution, "ANNOUNCED_SECONDS", 0.0)
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
    monkeypatch.setattr(execution, "ANNOUNCED_SECONDS", 3_600.0)
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


@pytest.mark.parametrize(("early_seconds", "done"), [(0.0, 3), (3_600.0, 1)])
def test_a_message_that_is_almost_over_by_its_own_measure_announces_its_end(
    acme: Tenant,
    run_merged: RunMerged,
    follow: Follow,
    announced: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    early_seconds: float,
    done: int,
) -> None:
    """With one turn done it is known how long they are; before that nothing is."""
    announce, turns = execution.announce_ending, []
    done_by_then: list[int] = []

    def note(token: UUID, queue: str) -> None:
        announce(token, queue)
        done_by_then.append(len(turns))

    monkeypatch.setattr(execution, "announce_ending", note)
    monkeypatch.setattr(execution, "ANNOUNCED_EARLY_SECONDS", early_seconds)
    follow(lambda context: turns.append(context.job_id))
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert done_by_then == [done]
    assert len(announced) == 1


def test_turns_that_grow_long_announce_nothing_before_they_are_over(
    acme: Tenant, run_merged: RunMerged, follow: Follow, announced: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second turn is begun with more ahead than may be; and so is the last one."""
    over: list[UUID] = []

    def process(context: JobContext) -> None:
        assert announced == []
        time.sleep(0.002)
        over.append(context.job_id)

    monkeypatch.setattr(execution, "ANNOUNCED_EARLY_SECONDS", 0.001)
    follow(process)
    jobs: Sequence[Job] = submit(acme, 3, kind="scripted")
    assert {job.state for job in run_merged(jobs)} == {"completed"}
    assert (len(over), len(announced)) == (3, 1)


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
