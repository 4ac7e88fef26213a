"""The checkers of outcomes, attempts, answers, health, processes and usage find the bugs that are planted for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.chaos.checks import CHECKS
from tests.chaos.health_checks import BY_RULE
from tests.chaos.history import READY_PAGE, Effect, Execution, Probe, Process, Reply
from tests.unit.chaos.scripted_histories import ACME, BEGAN, TERMS, Story, at, faultless_story


def job_is_discarded_after_lost_sessions(story: Story) -> None:
    """Add a job with four attempts, none of which its payload requests."""
    job_id = story.submit(ACME, seconds=70)
    for number in range(4):
        execution = story.begin(job_id, ACME, seconds=71 + 2 * number)
        state = "discarded" if number == 3 else "retryable"
        story.end(job_id, ACME, execution, 71.5 + 2 * number, "execution.failed", state)


def job_is_cancelled_without_request(story: Story) -> None:
    job_id = story.submit(ACME, seconds=70)
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=71), 72, "job.cancelled", "cancelled")


def job_of_a_schedule_is_discarded(story: Story) -> None:
    job_id = uuid4()
    story.tell(job_id, ACME, "job.submitted", "available", 70)
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=71), 72, "execution.failed", "discarded")


def lost_session_counts_an_attempt(story: Story) -> None:
    job_id = story.submit(ACME, seconds=70)
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=71), 71.5, "execution.failed", "retryable")
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=73), 74)


def job_fails_more_often_than_asked(story: Story) -> None:
    job_id = story.submit(ACME, seconds=70, kind="fail")
    for second in (71, 73):
        story.end(
            job_id, ACME, story.begin(job_id, ACME, seconds=second), second + 0.5, "execution.failed", "retryable"
        )


def api_answers_500(story: Story) -> None:
    story.requests[0].replies.append(Reply(BEGAN.timestamp(), 500))


def api_answers_503_without_retry_after(story: Story) -> None:
    story.requests[0].replies.append(Reply(BEGAN.timestamp(), 503))


def console_answers_500(story: Story) -> None:
    story.probes.append(Probe(BEGAN.timestamp(), "/admin/", 500))


def ready_and_nothing_begins(story: Story) -> None:
    story.watch(since=100, until=140, begins=False)


def ready_and_nothing_is_accepted(story: Story) -> None:
    story.watch(since=100, until=130, accepts=False)


def degraded_and_everything_begins(story: Story) -> None:
    story.watch(since=100, until=140, state="degraded")


def dispatcher_ends_by_itself(story: Story) -> None:
    story.processes.append(Process("dispatcher", 11, 1, was_ended=False))


def dispatcher_stands_still(story: Story) -> None:
    story.processes.append(Process("dispatcher", 11, None, was_ended=False, heartbeat_age=101.0))


def worker_never_reports(story: Story) -> None:
    story.processes.append(Process("worker", 11, None, was_ended=False, age=121.0))


def execution_is_charged_the_step_of_a_clock(story: Story) -> None:
    story.executions[0] = replace(story.executions[0], charged_seconds=7_200.1)


def execution_is_charged_less_than_it_ran(story: Story) -> None:
    execution = uuid4()
    story.executions.append(Execution(execution, uuid4(), "completed", 0.0))
    story.effects.append(Effect(at(3), ACME, uuid4(), execution, 1, "settled", seconds=2.0))


PLANTED: Sequence[tuple[Callable[[Story], None], str]] = [
    (job_is_discarded_after_lost_sessions, "I1 completed"),
    (job_is_cancelled_without_request, "I1 completed"),
    (job_of_a_schedule_is_discarded, "I1 completed"),
    (lost_session_counts_an_attempt, "I8 attempts on purpose"),
    (job_fails_more_often_than_asked, "I8 attempts on purpose"),
    (api_answers_500, "I12 answers"),
    (api_answers_503_without_retry_after, "I12 answers"),
    (console_answers_500, "I12 answers"),
    (ready_and_nothing_begins, "health"),
    (ready_and_nothing_is_accepted, "health"),
    (degraded_and_everything_begins, "health"),
    (dispatcher_ends_by_itself, "processes"),
    (dispatcher_stands_still, "processes"),
    (worker_never_reports, "processes"),
    (execution_is_charged_the_step_of_a_clock, "usage"),
    (execution_is_charged_less_than_it_ran, "usage"),
]


@pytest.mark.parametrize(("plant", "promise"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_planted_bug_is_found_by_its_checker(plant: Callable[[Story], None], promise: str) -> None:
    story = faultless_story()
    assert CHECKS[promise](story.history(), TERMS) == []
    plant(story)
    assert CHECKS[promise](story.history(), TERMS)


def test_health_that_changes_within_the_bound_is_accepted() -> None:
    story = faultless_story()
    story.watch(since=100, until=120, begins=False)
    story.watch(since=120, until=140, state="degraded", begins=False)
    assert CHECKS["health"](story.history(), TERMS) == []


def test_degraded_auditor_may_coincide_with_starting_jobs() -> None:
    story = faultless_story()
    story.watch(since=100, until=140)
    story.probes = [
        replace(probe, state="degraded", failed=frozenset({"auditor"})) if probe.at > at(99).timestamp() else probe
        for probe in story.probes
        if probe.page == READY_PAGE
    ]
    assert CHECKS["health"](story.history(), TERMS) == []


def test_short_refusal_with_ready_health_is_within_the_bound() -> None:
    story = faultless_story()
    story.watch(since=100, until=112, accepts=False)
    story.watch(since=112, until=150)
    assert CHECKS["health"](story.history(), TERMS) == []


def test_outage_between_jobs_that_begin_is_no_fault_of_health() -> None:
    story = faultless_story()
    story.watch(since=100, until=120, state="degraded")
    story.watch(since=120, until=210, state="degraded", accepts=False)
    story.watch(since=210, until=225, state="degraded")
    assert CHECKS["health"](story.history(), TERMS) == []


def test_refusal_by_a_rule_of_load_is_no_fault_of_health() -> None:
    story = faultless_story()
    story.watch(since=100, until=130, accepts=False, code=BY_RULE)
    story.watch(since=130, until=150)
    assert CHECKS["health"](story.history(), TERMS) == []


def test_row_may_declare_cancellations_and_ending_processes() -> None:
    story = faultless_story()
    job_is_cancelled_without_request(story)
    dispatcher_ends_by_itself(story)
    terms = replace(TERMS, may_cancel=True, may_end=frozenset({"dispatcher"}))
    assert CHECKS["I1 completed"](story.history(), terms) == []
    assert CHECKS["processes"](story.history(), terms) == []


def test_process_just_started_may_be_without_heartbeat() -> None:
    story = faultless_story()
    story.processes.append(Process("dispatcher", 11, None, was_ended=False, age=20.0))
    assert CHECKS["processes"](story.history(), TERMS) == []


def test_process_killed_by_the_row_is_accepted() -> None:
    story = faultless_story()
    story.processes.append(Process("worker", 11, -9, was_ended=True))
    assert CHECKS["processes"](story.history(), TERMS) == []


def test_job_that_fails_on_purpose_may_be_discarded() -> None:
    story = faultless_story()
    job_id = story.submit(ACME, seconds=70, kind="chaos_prober")
    story.requests[-1].payload = {"fails": True}
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=71), 72, "execution.failed", "discarded")
    assert CHECKS["I1 completed"](story.history(), TERMS) == []
    assert CHECKS["I8 attempts on purpose"](story.history(), TERMS) == []
