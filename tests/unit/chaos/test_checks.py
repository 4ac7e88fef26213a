"""Each checker finds the bug that is planted for it, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.chaos.checks import CHECKS, Terms, judge
from tests.chaos.history import Effect, Event, History, Reply, Request

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACME, GLOBEX = UUID(int=1), UUID(int=2)
LABEL = "nightly"


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


class Story:
    """A history under construction: jobs that go their way, second by second."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.events: list[Event] = []
        self.effects: list[Effect] = []

    def submit(
        self, tenant: UUID, *, seconds: float, kind: str = "chaos_steps", steps: int = 1, **options: object
    ) -> UUID:
        job_id = uuid4()
        key = f"key {len(self.requests)}"
        request = Request(tenant, kind, {"steps": steps}, key, replies=[Reply(0.0, 201, job_id)], **options)
        self.requests.append(request)
        self.tell(job_id, tenant, "job.submitted", "available", seconds, actor="api_key:chaos")
        return job_id

    def tell(
        self,
        job_id: UUID,
        tenant: UUID,
        name: str,
        state: str,
        seconds: float,
        execution: UUID | None = None,
        **more: object,
    ) -> None:
        self.events.append(Event(uuid4(), at(seconds), tenant, job_id, execution, name, state, **more))

    def begin(self, job_id: UUID, tenant: UUID, *, seconds: float, **data: object) -> UUID:
        """Dispatch and start; the execution."""
        execution = uuid4()
        self.tell(job_id, tenant, "job.dispatched", "dispatched", seconds - 0.1, execution)
        self.tell(job_id, tenant, "execution.started", "executing", seconds, execution, data=data)
        return execution

    def end(
        self,
        job_id: UUID,
        tenant: UUID,
        execution: UUID,
        seconds: float,
        name: str = "execution.completed",
        state: str = "completed",
    ) -> None:
        self.tell(job_id, tenant, name, state, seconds, execution)

    def leave(
        self, job_id: UUID, tenant: UUID, execution: UUID, *steps: str, fence: int, seconds: float, **more: object
    ) -> None:
        self.effects += [Effect(at(seconds), tenant, job_id, execution, fence, step, **more) for step in steps]

    def run(self, tenant: UUID, *, seconds: float, lasts: float = 1.0, **options: object) -> UUID:
        """A job from its submission to its completion."""
        job_id = self.submit(tenant, seconds=seconds, **options)
        execution = self.begin(job_id, tenant, seconds=seconds + 0.5)
        self.leave(job_id, tenant, execution, "begin", "step 0", "settled", fence=1, seconds=seconds + 0.6)
        self.end(job_id, tenant, execution, seconds + 0.5 + lasts)
        return job_id

    def history(self) -> History:
        return History(self.requests, self.events, self.effects)


def honest_story() -> Story:
    """Two tenants; one job crashes once, one is retried, one travels with another, one comes of a schedule."""
    story = Story()
    story.run(ACME, seconds=0)
    story.run(ACME, seconds=2, run_at=at(2.2))
    crashed = story.submit(GLOBEX, seconds=0)
    first = story.begin(crashed, GLOBEX, seconds=1)
    story.leave(crashed, GLOBEX, first, "begin", fence=1, seconds=1.2)
    story.end(crashed, GLOBEX, first, 3, "execution.crashed", "available")
    second = story.begin(crashed, GLOBEX, seconds=4)
    story.leave(crashed, GLOBEX, second, "begin", "step 0", "settled", fence=2, seconds=4.5)
    story.end(crashed, GLOBEX, second, 5)
    retried = story.submit(ACME, seconds=6, kind="fail")
    for number, (name, state) in enumerate([("execution.failed", "retryable"), ("execution.completed", "completed")]):
        if number:
            story.tell(retried, ACME, "job.available", "available", 8.0)
        story.end(retried, ACME, story.begin(retried, ACME, seconds=7 + 2 * number), 7.5 + 2 * number, name, state)
    for number in range(2):
        merged = story.submit(GLOBEX, seconds=10, kind="noop")
        story.end(merged, GLOBEX, story.begin(merged, GLOBEX, seconds=11, message="m", position=number), 11.5)
    fired = uuid4()
    story.tell(fired, GLOBEX, "job.submitted", "available", 55.5, actor="system")
    execution = story.begin(fired, GLOBEX, seconds=56)
    story.leave(fired, GLOBEX, execution, "settled", fence=1, seconds=56.5, label=LABEL)
    story.end(fired, GLOBEX, execution, 57)
    return story


TERMS = Terms(caps={ACME: [(at(0), 1)], GLOBEX: [(at(0), 1)]}, fires={LABEL: [datetime(2026, 1, 2, 3, 5, tzinfo=UTC)]})


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


def job_of_a_request_that_was_told_nothing(story: Story) -> None:
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
    (job_of_a_request_that_was_told_nothing, "I1 one job a key"),
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


def test_an_honest_history_breaks_no_promise() -> None:
    assert judge(honest_story().history(), TERMS) == []


@pytest.mark.parametrize(("plant", "promise"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_found_by_its_checker(plant: Callable[[Story], None], promise: str) -> None:
    story = honest_story()
    plant(story)
    assert CHECKS[promise](story.history(), TERMS)


def test_every_checker_has_a_planted_bug() -> None:
    assert {promise for _, promise in PLANTED} == CHECKS.keys()


def test_a_tick_that_began_before_what_it_saw_was_committed_is_no_fault() -> None:
    """Events bear the time at which their transaction began: a dispatch may seem older than the crash before it."""
    story = Story()
    job_id = story.submit(ACME, seconds=0)
    first = story.begin(job_id, ACME, seconds=1)
    story.end(job_id, ACME, first, 3.05, "execution.crashed", "available")
    story.end(job_id, ACME, story.begin(job_id, ACME, seconds=3.1), 4)
    assert CHECKS["I7 transitions"](story.history(), TERMS) == []


def test_a_lowered_cap_lets_those_go_on_that_run() -> None:
    story = Story()
    story.run(ACME, seconds=0, lasts=10)
    story.run(ACME, seconds=1, lasts=10)
    terms = Terms(caps={ACME: [(at(0), 2), (at(5), 1)]})
    assert judge(story.history(), terms) == []
    story.run(ACME, seconds=6, lasts=1)
    assert CHECKS["I3 caps"](story.history(), terms)


def test_a_start_within_a_second_of_a_lowered_cap_obeyed_the_old_one() -> None:
    story = Story()
    story.run(ACME, seconds=0, lasts=10)
    story.run(ACME, seconds=5.1, lasts=1)
    assert judge(story.history(), Terms(caps={ACME: [(at(0), 2), (at(5), 1)]})) == []


def test_more_faults_than_are_told_are_counted() -> None:
    many = Story()
    for number in range(9):
        many.run(ACME, seconds=10 * number)
    many.effects += list(many.effects)
    told = judge(many.history(), TERMS)
    assert "I2 effects once: and 13 more" in told
