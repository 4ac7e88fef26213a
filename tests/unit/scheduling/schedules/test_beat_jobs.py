"""Due times of beat's periodic tasks: when they are, and which messages are of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from scheduling.schedules.beat_jobs import next_runs, read_job, times_of
from scheduling.schedules.beat_submissions import due_time

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def every(**values: Any) -> PeriodicTask:
    return PeriodicTask(pk=7, interval=IntervalSchedule(every=1, period=IntervalSchedule.HOURS), **values)


def at(minute: str = "0", hour: str = "3", **values: Any) -> PeriodicTask:
    berlin = ZoneInfo("Europe/Berlin")
    return PeriodicTask(pk=7, crontab=CrontabSchedule(minute=minute, hour=hour, timezone=berlin, **values))


def submissions(task: PeriodicTask, moments: list[datetime]) -> list[datetime]:
    """Return the moments whose messages submit a job, in the order in which workers read them."""
    done, keys = [], set()
    for moment in moments:
        its_keys, _ = due_time(task, moment)
        if keys.isdisjoint(its_keys):
            done.append(moment)
            keys.add(its_keys[0])
    return done


@pytest.mark.parametrize("apart_minutes", range(60))
def test_two_beats_at_an_interval_submit_one_job_an_interval(apart_minutes: int) -> None:
    first = [START + number * HOUR for number in range(24)]
    second = [moment + timedelta(minutes=apart_minutes) for moment in first]
    made = submissions(every(), sorted([*first, *second]))
    assert 24 <= len(made) <= 25
    assert all(later - earlier > HOUR / 2 for earlier, later in pairwise(made))
    # The second beat alone goes on without a gap.
    assert len(submissions(every(), second)) == 24


def test_messages_of_one_due_time_in_the_other_order_submit_once() -> None:
    edge = datetime.fromtimestamp(START.timestamp() // 300 * 300, UTC)
    assert len(submissions(every(), [edge, edge - timedelta(seconds=1)])) == 1


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=40), timedelta(minutes=3), timedelta(hours=20)])
def test_crontab_submits_once_a_due_time_however_late_a_second_message_is(late: timedelta) -> None:
    due = datetime(2026, 12, 1, 2, tzinfo=UTC)  # 03:00 in Berlin
    assert len(submissions(at(), [due + timedelta(seconds=1), due + late])) == 1
    assert len(submissions(at(), [due, due + timedelta(days=1)])) == 2


def test_crontab_of_each_minute_submits_each_minute() -> None:
    moments = [START + timedelta(minutes=number, seconds=number % 50) for number in range(120)]
    assert submissions(at("*", "*"), moments) == moments


@pytest.mark.parametrize("days", [{"day_of_week": "monday"}, {"day_of_month": "1-7", "day_of_week": "mon"}])
def test_crontab_that_cron_cannot_express_is_told_apart_by_minutes(days: dict[str, str]) -> None:
    task = at(**days)
    assert times_of(task) is None
    assert len(submissions(task, [START, START + timedelta(seconds=2), START + timedelta(minutes=1)])) == 2


def test_next_runs_keep_the_bounds_of_the_task() -> None:
    task = every(enabled=True, last_run_at=START, start_time=START + 3 * HOUR, expires=START + 5 * HOUR)
    assert [run.at for run in next_runs(task, START, 10)] == [START + number * HOUR for number in (3, 4, 5)]
    task.one_off = True
    assert len(next_runs(task, START, 10)) == 1
    task.enabled = False
    assert next_runs(task, START, 10) == []
    once = PeriodicTask(pk=7, clocked=ClockedSchedule(clocked_time=START), one_off=True)
    assert [run.at for run in next_runs(once, START - HOUR, 10)] == [START]


@pytest.mark.parametrize("kwargs", ["", "{", "[]", "{}", '{"tenant": "acme"}', '{"tenant": "acme", "kind": 7}'])
def test_arguments_without_tenant_and_kind_are_no_job(kwargs: str) -> None:
    assert read_job(PeriodicTask(task="scheduling.submit", kwargs=kwargs)) is None
    assert read_job(PeriodicTask(task="scheduling.run_upkeep", kwargs='{"tenant": "acme", "kind": "noop"}')) is None


def test_job_of_a_task_is_read_and_written() -> None:
    task = PeriodicTask(task="scheduling.submit", kwargs='{"tenant": "acme", "kind": "noop", "queue": "dataset"}')
    job = read_job(task)
    assert job is not None
    assert (job.tenant, job.kind, job.payload, job.options) == ("acme", "noop", {}, {"queue": "dataset"})
    task.kwargs = job.to_kwargs()
    assert read_job(task) == job
