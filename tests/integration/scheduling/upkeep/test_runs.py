"""Upkeep runs: bounded, resumable, one at a time, and recorded."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from scheduling.exceptions import UpkeepBusyError, UpkeepUnknownError
from scheduling.models import UpkeepRun
from scheduling.upkeep import registry, runs
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from scheduling.upkeep.runs import run_upkeep
from scheduling.upkeep.schedules import row_name, seed_schedules
from scheduling.upkeep.status import find_upkeep_status, find_upkeep_warnings
from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tests.integration.scheduling.upkeep.conftest import Plant

pytestmark = pytest.mark.django_db

Outcome = UpkeepRun.Outcome


def count_to(last: int, taken: list[int]) -> Plant:
    """Return a step that takes the number after the cursor."""

    def step(budget: UpkeepBudget) -> UpkeepStep:
        number = budget.cursor.get("number", 0) + 1
        taken.append(number)
        return UpkeepStep({"numbers": 1}, has_more=number < last, cursor={"number": number} if number < last else {})

    return step  # type: ignore[return-value]


def test_run_takes_steps_until_nothing_is_left(plant: Plant) -> None:
    taken: list[int] = []
    plant(count_to(3, taken))
    run = run_upkeep(name="planted")
    assert (taken, run.outcome, run.counts, run.cursor) == ([1, 2, 3], Outcome.OK, {"numbers": 3}, {})
    assert run.finished_at is not None


def test_run_out_of_time_leaves_the_rest_to_the_next(plant: Plant) -> None:
    taken: list[int] = []
    plant(count_to(2, taken))
    assert run_upkeep(name="planted", seconds=0).outcome == Outcome.PARTIAL
    assert run_upkeep(name="planted", seconds=0).outcome == Outcome.OK
    assert taken == [1, 2]


class Clock:
    """A clock that advances by work and sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


def test_worker_rests_between_steps_and_a_manual_run_does_not(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, budgets = Clock(), list[float]()

    def step(budget: UpkeepBudget) -> UpkeepStep:
        budgets.append(budget.seconds)
        clock.now += 1.5
        return UpkeepStep(has_more=True)

    plant(step, share=0.25)
    monkeypatch.setattr(runs, "time", clock)
    assert run_upkeep(name="planted", seconds=10, is_paced=True).outcome == Outcome.PARTIAL
    # A step of 1.5 s and a rest of three times its length, as long as there is time.
    assert (budgets, clock.rests, clock.now) == ([2, 2], [4.5, 2.5], 10)
    clock.rests.clear()
    run_upkeep(name="planted", seconds=3)
    assert sum(clock.rests) == 0
    assert budgets[2:] == [3, 1.5]


def test_failed_run_is_recorded_and_continued_by_the_next_run(plant: Plant) -> None:
    taken: list[int] = []
    step = count_to(3, taken)
    papers: list[str] = []

    def breaks_once(budget: UpkeepBudget) -> UpkeepStep:
        if budget.cursor.get("number") == 1 and not papers:
            papers.append("refilled")
            raise ValueError("out of paper")
        return step(budget)  # type: ignore[arg-type, return-value]

    plant(breaks_once)
    failed = run_upkeep(name="planted")
    assert (failed.outcome, failed.error, failed.counts) == (Outcome.FAILED, "ValueError: out of paper", {"numbers": 1})
    assert run_upkeep(name="planted").outcome == Outcome.OK
    assert taken == [1, 2, 3]


def test_findings_fail_the_run_and_are_all_stored(plant: Plant) -> None:
    plant(lambda budget: UpkeepStep({"looked_at": 2}, findings=["Acme differs.", "Globex differs."]))
    run = run_upkeep(name="planted")
    assert (run.outcome, run.messages) == (Outcome.FAILED, ["Acme differs.", "Globex differs."])
    assert run.counts == {"looked_at": 2, "findings": 2}
    assert [(w.code, w.name) for w in find_upkeep_warnings() if w.name == "planted"] == [("failed", "planted")]


def test_concurrent_run_of_the_same_task_is_refused(plant: Plant) -> None:
    refused: list[bool] = []

    def step(budget: UpkeepBudget) -> UpkeepStep:
        with pytest.raises(UpkeepBusyError):
            run_upkeep(name="planted")
        refused.append(True)
        return UpkeepStep()

    plant(step)
    assert run_upkeep(name="planted").outcome == Outcome.OK
    assert refused == [True]
    assert UpkeepRun.objects.filter(name="planted").count() == 1


def test_killed_run_is_continued_once_its_lease_expired(plant: Plant) -> None:
    taken: list[int] = []
    plant(count_to(3, taken))
    now = timezone.now()
    with all_tenants():
        killed = UpkeepRun.objects.create(
            name="planted", started_at=now, lease_expires_at=now - timedelta(seconds=1), cursor={"number": 2}
        )
    assert run_upkeep(name="planted").outcome == Outcome.OK
    assert taken == [3]
    killed.refresh_from_db()
    assert (killed.outcome, killed.error) == (Outcome.FAILED, runs.KILLED)


def test_run_that_lost_its_lease_stops_and_overwrites_nothing(plant: Plant) -> None:
    def loses_it(budget: UpkeepBudget) -> UpkeepStep:
        with all_tenants():
            UpkeepRun.objects.filter(name="planted").update(outcome=Outcome.FAILED, error="taken over")
        return UpkeepStep(has_more=True)

    plant(loses_it)
    with pytest.raises(runs.UpkeepTakenOverError):
        run_upkeep(name="planted")
    assert UpkeepRun.objects.get(name="planted").error == "taken over"


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_runs_does_the_work(plant: Plant) -> None:
    inside, may_go_on = threading.Event(), threading.Event()
    taken: list[str] = []

    def step(budget: UpkeepBudget) -> UpkeepStep:
        taken.append(threading.current_thread().name)
        inside.set()
        assert may_go_on.wait(10)
        return UpkeepStep({"done": 1})

    plant(step)

    def run_first() -> None:
        try:
            run_upkeep(name="planted")
        finally:
            connection.close()

    first = threading.Thread(target=run_first, name="first")
    first.start()
    assert inside.wait(10)
    with pytest.raises(UpkeepBusyError):
        run_upkeep(name="planted")
    may_go_on.set()
    first.join(10)
    assert taken == ["first"]
    assert UpkeepRun.objects.get(name="planted").outcome == Outcome.OK


def test_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(UpkeepUnknownError, match="partitions"):
        run_upkeep(name="nonsense")


def test_every_task_has_its_beat_row_and_seeding_is_idempotent() -> None:
    names = {row_name(task.name) for task in registry.tasks()}
    assert set(PeriodicTask.objects.filter(name__startswith="upkeep: ").values_list("name", flat=True)) == names
    row = PeriodicTask.objects.get(name="upkeep: partitions")
    assert (row.task, row.args, row.enabled) == ("scheduling.run_upkeep", '["partitions"]', True)
    assert (row.interval.every, row.interval.period) == (1, "hours")


@pytest.mark.django_db(databases=["default", OWNER_ALIAS])
def test_operators_interval_and_switch_survive_the_next_migration() -> None:
    PeriodicTask.objects.filter(name="upkeep: partitions").update(enabled=False)
    assert seed_schedules(using="default") == []
    assert not PeriodicTask.objects.get(name="upkeep: partitions").enabled
    PeriodicTask.objects.filter(name="upkeep: partitions").delete()
    assert seed_schedules(using="default") == ["partitions"]


def test_task_that_never_ran_is_overdue_after_three_intervals() -> None:
    assert not find_upkeep_status("partitions").is_overdue
    PeriodicTask.objects.filter(name="upkeep: partitions").update(start_time=timezone.now() - timedelta(hours=3.1))
    assert find_upkeep_status("partitions").is_overdue
    assert [w.code for w in find_upkeep_warnings() if w.name == "partitions"] == ["overdue"]
    run_upkeep(name="partitions")
    assert not find_upkeep_status("partitions").is_overdue


def test_disabled_task_is_reported_and_not_overdue() -> None:
    long_ago = timezone.now() - timedelta(days=30)
    PeriodicTask.objects.filter(name="upkeep: partitions").update(enabled=False, start_time=long_ago)
    line = find_upkeep_status("partitions")
    assert (line.is_overdue, line.due_at) == (False, None)
    assert [w.code for w in find_upkeep_warnings() if w.name == "partitions"] == ["switched_off"]
