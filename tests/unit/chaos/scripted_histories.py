"""Histories written second by second, as input of the checkers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from tests.chaos.history import (
    READY_PAGE,
    WITNESS_KEY,
    Effect,
    Event,
    Execution,
    History,
    Probe,
    Process,
    Reply,
    Request,
)
from tests.chaos.terms import Terms

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACME, GLOBEX, WITNESS = UUID(int=1), UUID(int=2), UUID(int=3)
LABEL = "nightly"


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


class Story:
    """History under construction: jobs that run, second by second."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.executions: list[Execution] = []
        self.probes: list[Probe] = []
        self.processes = [Process("dispatcher", 10, None, was_ended=False, heartbeat_age=1.0)]

    def submit(
        self, tenant: UUID, *, seconds: float, kind: str = "chaos_steps", steps: int = 1, **options: object
    ) -> UUID:
        job_id = uuid4()
        key = f"key {len(self.requests)}"
        payload = {"times": 1} if kind == "fail" else {"steps": steps}
        request = Request(tenant, kind, payload, key, replies=[Reply(0.0, 201, job_id)], **options)
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
        """Dispatch and start a job; return the execution."""
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
        """Run a job from its submission to its completion."""
        job_id = self.submit(tenant, seconds=seconds, **options)
        execution = self.begin(job_id, tenant, seconds=seconds + 0.5)
        self.leave(job_id, tenant, execution, "begin", "step 0", fence=1, seconds=seconds + 0.6)
        self.effects.append(Effect(at(seconds + 0.6), tenant, job_id, execution, 1, "settled", seconds=lasts - 0.1))
        self.executions.append(Execution(execution, job_id, "completed", lasts))
        self.end(job_id, tenant, execution, seconds + 0.5 + lasts)
        return job_id

    def watch(
        self,
        *,
        until: int,
        since: int = 0,
        state: str = "ready",
        accepts: bool = True,
        begins: bool = True,
        code: str = "",
    ) -> None:
        """Add probes of health each second, and a job of the witness every other second, which begins at once."""
        failed = frozenset[str]() if state == "ready" else frozenset({"dispatcher"})
        for second in range(since, until):
            self.probes.append(Probe(at(second).timestamp(), READY_PAGE, 200, state, failed))
        for second in range(since, until, 2):
            job_id = uuid4()
            reply = (201, job_id) if accepts else (503, None)
            replies = [Reply(at(second).timestamp(), *reply, code, has_retry_after=True)]
            key = f"{WITNESS_KEY}-{len(self.requests)}"
            self.requests.append(Request(WITNESS, "noop", {}, key, replies=replies))
            if accepts:
                self.tell(job_id, WITNESS, "job.submitted", "available", second, actor="api_key:chaos")
            if accepts and begins:
                self.end(job_id, WITNESS, self.begin(job_id, WITNESS, seconds=second + 0.3), second + 0.4)

    def history(self) -> History:
        return History(self.requests, self.events, self.effects, self.executions, self.probes, self.processes)


def faultless_story() -> Story:
    """Return a history without faults: a crash, a retry, a merged message and a fire of a schedule among its jobs."""
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
    story.watch(until=60)
    return story


TERMS = Terms(caps={ACME: [(at(0), 1)], GLOBEX: [(at(0), 1)]}, fires={LABEL: [datetime(2026, 1, 2, 3, 5, tzinfo=UTC)]})
