"""The examples in docs/how-to/exactly_once.md: they run as written and hold however an execution ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from scheduling.exceptions import FenceLostError
from scheduling.execution import settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from scheduling.fleet.workers import Registration
from scheduling.kit.base import Complete, Dependency, Effects, Interrupted, JobContext, Json, PermanentError
from scheduling.models import Job, LiveExecution
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "exactly_once.md"
AMOUNTS = [5, 7, 11]
_TABLE = """
CREATE TABLE example_booking (tenant_id uuid NOT NULL, job_id uuid NOT NULL, line int NOT NULL, amount int NOT NULL);
ALTER TABLE example_booking ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON example_booking
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON example_booking TO PUBLIC
"""


class KilledError(BaseException):
    """The process is killed: none of its code runs any more."""


def load(name: str) -> dict[str, Any]:
    """Return the names that the block with this class defines."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if f"class {name}(" in block]
    names: dict[str, Any] = {"__name__": f"example_{name}"}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture(autouse=True)
def bookings(django_db_setup: Any) -> Iterator[None]:
    """Create the table that the examples write to, without a key that would refuse a second row."""
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute(_TABLE)
    yield
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute("DROP TABLE example_booking")


def booked(tenant: Tenant) -> list[tuple[int, int]]:
    with tenant_context(tenant), connection.cursor() as cursor:
        cursor.execute("SELECT line, amount FROM example_booking ORDER BY line")
        rows: list[tuple[int, int]] = cursor.fetchall()
        return rows


@dataclass
class JobStart:
    """One start of a job on the real services; `before` is called with the number of each step before it."""

    started: StartedExecution
    before: Callable[[int], None] = lambda step: None
    steps: int = 0
    effects: list[Effects] = field(default_factory=list)

    def step(self) -> None:
        self.steps += 1
        self.before(self.steps)

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        self.step()
        started = self.started
        try:
            save_checkpoint(
                tenant_id=started.tenant_id, job_id=started.job_id, fence=started.fence, state=state, effects=effects
            )
        except FenceLostError as error:
            raise Interrupted("fence_lost") from error

    def in_settlement(self, effects: Effects) -> None:
        self.effects.append(effects)

    def should_yield(self) -> bool:
        self.step()
        return False

    def enter_dependency(self, dependency: Dependency) -> None:
        self.step()

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        self.step()

    def report_progress(self, current: int, total: int, message: str) -> None: ...

    def log(self, message: str, level: str, fields: Json) -> None: ...

    def context(self) -> JobContext:
        started = self.started
        return JobContext(
            started.tenant_id,
            started.job_id,
            started.execution_id,
            started.kind,
            started.payload,
            started.attempt,
            started.checkpoint,
            started.fence,
            started.idempotency_key,
            None,
            self,  # type: ignore[arg-type]
        )

    def run(self, processor: Any) -> bool:
        """Run the job and settle it as a worker does; return whether the settlement was accepted."""
        try:
            answer = processor.process(self.context())
        except Interrupted:
            return False
        except PermanentError as error:
            failure = settlement_builders.Failure.of(error, is_permanent=True)
            return self.end(
                settlement_builders.failed(
                    self.started.execution_id,
                    self.started.fence,
                    failure,
                    failed_attempts=1,
                    policy=settlement_builders.RetryPolicy(),
                )
            )
        self.step()
        result = Complete(answer).result
        return self.end(Settlement.completed(self.started.execution_id, self.started.fence, result), *self.effects)

    def end(self, settlement: Settlement, *effects: Effects) -> bool:
        def run_all() -> None:
            for effect in effects:
                effect()

        try:
            return bool(settle([settlement], effects=run_all if effects else None))
        except FenceLostError:
            return False


@dataclass
class Harness:
    """A helper that submits one job of a block's kind and plays its starts."""

    tenant: Tenant
    tick: Tick
    start: Start
    job: Job

    def begin(self) -> StartedExecution:
        self.tick()
        return begin(self.start, self.job)

    def rescue(self) -> None:
        """Let the job's lease expire and the sweep rescue it."""
        with all_tenants():
            live = LiveExecution.objects.get(job_id=self.job.pk)
        crash = settlement_builders.crashed(
            live.pk, live.fence, crash_count=0, was_alone=False, cause="lease expired", is_lost=True
        )
        assert settle([crash])

    def run_with_a_crash(self, processor: Any, at: int) -> None:
        """Kill the first start before its step of this number, and let another start complete the job."""

        def die(step: int) -> None:
            if step == at:
                raise KilledError

        first = JobStart(self.begin(), die)
        try:
            first.run(processor)
        except KilledError:
            self.rescue()
            assert JobStart(self.begin()).run(processor)

    def run_with_a_zombie(self, processor: Any, at: int) -> None:
        """Suspend the first start before its step of this number until another has completed the job; resume it."""
        took_hold: list[bool] = []

        def sleep(step: int) -> None:
            if step == at:
                self.rescue()
                took_hold.append(JobStart(self.begin()).run(processor))

        first = JobStart(self.begin(), sleep)
        is_first_effective = first.run(processor)
        assert is_first_effective == (not took_hold)


@pytest.fixture
def harness(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> Harness:
    # The registered kind only serves the submission: the block's own class does the work.
    (job,) = submit(acme, 1, "noop", payload={"amounts": AMOUNTS})
    return Harness(acme, tick, start, job)


# More steps than any of the examples has; beyond the last nothing fails, which must be correct as well.
STEPS = range(1, 9)
WAYS = ["run_with_a_crash", "run_with_a_zombie"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", STEPS)
def test_each_step_of_a_checkpointed_job_is_stored_once(harness: Harness, way: str, at: int) -> None:
    getattr(harness, way)(load("ImportStatement")["ImportStatement"](), at)
    assert booked(harness.tenant) == list(enumerate(AMOUNTS))
    job = reload(harness.job)
    assert (job.state, job.result) == ("completed", {"booked": 3})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", STEPS)
def test_settlement_effects_are_stored_once(harness: Harness, way: str, at: int) -> None:
    getattr(harness, way)(load("CloseMonth")["CloseMonth"](), at)
    assert booked(harness.tenant) == [(0, sum(AMOUNTS))]
    assert reload(harness.job).state == "completed"


def test_settlement_effects_are_not_visible_before(harness: Harness) -> None:
    seen: list[object] = []
    processor = load("CloseMonth")["CloseMonth"]()
    job_start = JobStart(harness.begin(), lambda step: seen.append(booked(harness.tenant)))
    assert job_start.run(processor)
    assert seen == [[]] * (len(AMOUNTS) + 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", STEPS)
def test_external_write_with_an_old_token_is_refused(harness: Harness, way: str, at: int) -> None:
    names = load("PublishReport")
    getattr(harness, way)(names["PublishReport"](), at)
    ((token, text),) = names["SHELF"].kept.values()
    assert token == reload(harness.job).fence
    assert text == f"made by start {token}"
    assert reload(harness.job).state == "completed"


def test_external_write_without_its_token_overwrites_the_new_one(harness: Harness) -> None:
    """Prove that the test before does not pass by chance."""
    names = load("PublishReport")
    shelf = names["SHELF"]
    put = shelf.put
    shelf.put = lambda key, text, token: put(key, text, token=99)
    harness.run_with_a_zombie(names["PublishReport"](), 1)
    ((_, text),) = shelf.kept.values()
    assert text == "made by start 1"
    assert reload(harness.job).fence == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", STEPS)
def test_repeated_charge_is_recognised(harness: Harness, way: str, at: int) -> None:
    names = load("ChargeCards")
    getattr(harness, way)(names["ChargeCards"](), at)
    assert sorted(names["GATEWAY"].charges.values()) == AMOUNTS
    assert reload(harness.job).result == {"charged": sum(AMOUNTS)}


@pytest.mark.parametrize("name", ["ImportStatement", "CloseMonth", "PublishReport", "ChargeCards"])
def test_repeated_message_starts_nothing(harness: Harness, name: str) -> None:
    processor = load(name)[name]()
    job_start = JobStart(harness.begin())
    assert harness.start(harness.job.pk) is None
    assert job_start.run(processor)
    if name in ("ImportStatement", "CloseMonth"):
        assert len(booked(harness.tenant)) == (len(AMOUNTS) if name == "ImportStatement" else 1)


def test_every_example_of_the_page_is_tested() -> None:
    classes = re.findall(r"^class (\w+)\(TaskProcessor\)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert classes == ["ImportStatement", "CloseMonth", "PublishReport", "ChargeCards"]
