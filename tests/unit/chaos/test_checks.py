"""Each checker finds the bug that is planted for it, and nothing in a history without faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tests.chaos.checks import CHECKS, judge
from tests.chaos.history import Event, Reply
from tests.chaos.terms import Terms
from tests.unit.chaos.scripted_histories import ACME, GLOBEX, LABEL, TERMS, Story, at, faultless_story
from tests.unit.chaos.test_service_checks import PLANTED as PLANTED_IN_SERVICE


def job_of(story: Story, number: int) -> UUID:
    return next(iter(story.requests[number].job_ids))


def events_of(story: Story, job_id: UUID) -> Sequence[Event]:
    return [event for event in story.events if event.job_id == job_id]


def accepted_job_is_forgotten(story: Story) -> None:
    story.events = [event for event in story.events if event.job_id != job_of(story, 0)]


def accepted_job_never_ends(story: Story) -> None:
    story.events.remove(events_of(story, job_of(story, 0))[-1])


def one_key_makes_two_jobs(story: Story) -> None:
    story.requests[0].replies.append(Reply(1.0, 201, story.run(ACME, seconds=20)))
    story.requests.pop()


def job_of_a_request_without_response(story: Story) -> None:
    story.tell(uuid4(), ACME, "job.submitted", "available", 30, actor="api_key:chaos")


def job_is_completed_twice(story: Story) -> None:
    job_id = job_of(story, 0)
    story.events.append(replace(events_of(story, job_id)[-1], id=uuid4(), execution_id=uuid4()))


def effect_is_there_twice(story: Story) -> None:
    story.effects.append(next(effect for effect in story.effects if effect.step == "step 0"))


def effect_is_missing(story: Story) -> None:
    story.effects.remove(next(effect for effect in story.effects if effect.step == "settled"))


def settled_without_completion(story: Story) -> None:
    job_id = story.submit(ACME, seconds=40)
    execution = story.begin(job_id, ACME, seconds=41)
    story.leave(job_id, ACME, execution, "settled", fence=1, seconds=41.5)
    story.end(job_id, ACME, execution, 42, "job.cancelled", "cancelled")


def zombie_leaves_an_effect(story: Story) -> None:
    job_id = job_of(story, 2)
    story.leave(job_id, GLOBEX, uuid4(), "begin", fence=1, seconds=4.2)


def effect_of_no_start(story: Story) -> None:
    story.leave(job_of(story, 2), GLOBEX, uuid4(), "begin", fence=3, seconds=4.2)


def two_run_under_a_cap_of_one(story: Story) -> None:
    story.run(ACME, seconds=0.2)


def job_sees_another_tenant(story: Story) -> None:
    story.effects[0] = replace(story.effects[0], seen=3)


def ended_job_runs_again(story: Story) -> None:
    job_id = job_of(story, 0)
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=60), 61, "execution.failed", "discarded")


def start_without_dispatch(story: Story) -> None:
    job_id = job_of(story, 0)
    story.events.remove(next(event for event in events_of(story, job_id) if event.name == "job.dispatched"))


def fifth_attempt(story: Story) -> None:
    job_id = story.submit(ACME, seconds=70, kind="fail")
    for number in range(5):
        execution = story.begin(job_id, ACME, seconds=71 + 2 * number)
        is_last = number == 4
        story.end(
            job_id, ACME, execution, 71.5 + 2 * number, "execution.failed", "discarded" if is_last else "retryable"
        )
        if not is_last:
            story.tell(job_id, ACME, "job.available", "available", 72 + 2 * number)


def schedule_fires_twice(story: Story) -> None:
    fired = uuid4()
    story.tell(fired, GLOBEX, "job.submitted", "available", 55.6, actor="system")
    execution = story.begin(fired, GLOBEX, seconds=58)
    story.leave(fired, GLOBEX, execution, "settled", fence=1, seconds=58.5, label=LABEL)
    story.end(fired, GLOBEX, execution, 59)


def job_begins_early(story: Story) -> None:
    story.requests[1].run_at = at(2.6)


PLANTED: Sequence[tuple[Callable[[Story], None], str]] = [
    (accepted_job_is_forgotten, "I1 nothing lost"),
    (accepted_job_never_ends, "I1 nothing lost"),
    (one_key_makes_two_jobs, "I1 one job a key"),
    (job_of_a_request_without_response, "I1 one job a key"),
    (job_is_completed_twice, "I2 one completion"),
    (effect_is_there_twice, "I2 effects once"),
    (effect_is_missing, "I2 effects once"),
    (settled_without_completion, "I2 effects once"),
    (zombie_leaves_an_effect, "I2 no zombie effects"),
    (effect_of_no_start, "I2 no zombie effects"),
    (two_run_under_a_cap_of_one, "I3 caps"),
    (job_sees_another_tenant, "I4 nothing foreign"),
    (ended_job_runs_again, "I7 transitions"),
    (start_without_dispatch, "I7 transitions"),
    (fifth_attempt, "I8 attempts"),
    (schedule_fires_twice, "I11 fires"),
    (job_begins_early, "not early"),
]


def test_history_without_faults_passes_every_check() -> None:
    assert judge(faultless_story().history(), TERMS) == []


@pytest.mark.parametrize(("plant", "promise"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_planted_bug_is_found_by_its_checker(plant: Callable[[Story], None], promise: str) -> None:
    story = faultless_story()
    plant(story)
    assert CHECKS[promise](story.history(), TERMS)


def test_every_checker_has_a_planted_bug() -> None:
    assert {promise for _, promise in [*PLANTED, *PLANTED_IN_SERVICE]} == CHECKS.keys()


def test_tick_older_than_the_commit_that_it_read_is_accepted() -> None:
    """Events have the time at which their transaction began: a dispatch may seem older than the crash before it."""
    story = Story()
    job_id = story.submit(ACME, seconds=0)
    first = story.begin(job_id, ACME, seconds=1)
    story.end(job_id, ACME, first, 3.05, "execution.crashed", "available")
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=3.1), 4)
    assert CHECKS["I7 transitions"](story.history(), TERMS) == []


def test_events_are_ordered_by_number_if_clock_was_set_back() -> None:
    story = Story()
    story.run(ACME, seconds=0, lasts=10)
    begun = [replace(event, number=number) for number, event in enumerate(story.events[:-1], start=1)]
    ended = replace(story.events[-1], number=len(story.events), at=at(-50))
    story.events = [ended, *begun]
    assert CHECKS["I7 transitions"](story.history(), TERMS) == []
    story.events = [replace(ended, number=1), replace(begun[0], number=len(story.events)), *begun[1:]]
    assert CHECKS["I7 transitions"](story.history(), TERMS)


def test_running_jobs_may_exceed_a_lowered_cap() -> None:
    story = Story()
    story.run(ACME, seconds=0, lasts=10)
    story.run(ACME, seconds=1, lasts=10)
    terms = Terms(caps={ACME: [(at(0), 2), (at(5), 1)]})
    assert judge(story.history(), terms) == []
    story.run(ACME, seconds=6, lasts=1)
    assert CHECKS["I3 caps"](story.history(), terms)


def test_start_within_a_second_of_a_lowered_cap_is_accepted() -> None:
    story = Story()
    story.run(ACME, seconds=0, lasts=10)
    story.run(ACME, seconds=5.1, lasts=1)
    assert judge(story.history(), Terms(caps={ACME: [(at(0), 2), (at(5), 1)]})) == []


def test_faults_beyond_the_listed_ones_are_counted() -> None:
    many = Story()
    for number in range(9):
        many.run(ACME, seconds=10 * number)
    many.effects += list(many.effects)
    found = judge(many.history(), TERMS)
    assert "I2 effects once: and 13 more" in found
