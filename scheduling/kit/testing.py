"""The kit's test tools: run a processor with plain values, without database, broker or worker.

    run = try_processor(WordCount, {"texts": ["to be"]})
    assert run.outcome == Complete({"words": 2})

Packages that provide a kind may use them in their tests: the names are as stable as those of the kit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from inspect import isawaitable, iscoroutinefunction
from typing import IO, Any, Final
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async
from jsonschema import Draft202012Validator

from scheduling.kit.base import (
    AsyncJobContext,
    Child,
    ChildJob,
    Complete,
    Dependency,
    Effects,
    Interrupted,
    JobContext,
    Json,
    LogLevel,
    Outcome,
    TaskProcessor,
)
from scheduling.kit.emitting import Emitted, read_emitted
from scheduling.kit.runtime import attempt_error

__all__ = ["AsyncRecordingRuntime", "RecordingRuntime", "TriedRun", "make_context", "try_processor"]

_TENANT: Final = UUID("00000000-0000-7000-8000-0000000000aa")
_JOB: Final = UUID("00000000-0000-7000-8000-0000000000bb")
_EXECUTION: Final = UUID("00000000-0000-7000-8000-0000000000cc")


@dataclass(slots=True)
class RecordingRuntime:
    """A runtime for tests: it runs effects of checkpoints at once and records all calls of the context.

    Calls of ``checkpoint`` and ``should_yield`` are safe points, counted from 1. At the safe point with the number
    ``yields_after`` a yield is requested; at that with ``interrupted_after``, Interrupted is raised for ``cause``.
    ``down`` has the names of failed dependencies, ``known_children`` the children of a job that has waited for them.
    """

    yields_after: int | None = None
    interrupted_after: int | None = None
    cause: str = "shutdown"
    down: frozenset[str] = frozenset()
    known_children: Sequence[ChildJob] = ()
    states: list[Json] = field(default_factory=list)
    progress: list[tuple[int, int, str]] = field(default_factory=list)
    lines: list[tuple[LogLevel, str, Json]] = field(default_factory=list)
    in_settlement_effects: list[Effects] = field(default_factory=list)
    entered: list[Dependency] = field(default_factory=list)
    submitted: list[Child] = field(default_factory=list)
    safe_points: int = 0
    streamed: list[tuple[str, str]] = field(default_factory=list)
    attached: list[tuple[str, bytes, str]] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        """Record the state as JSON, run the effects, and pass a safe point, which may raise Interrupted."""
        # A checkpoint is read back as the JSON that it is stored as.
        self.states.append(json.loads(json.dumps(state)))
        if effects is not None:
            effects()
        self._pass_safe_point()

    def in_settlement(self, effects: Effects) -> None:
        """Record the effects without running them."""
        self.in_settlement_effects.append(effects)

    def report_progress(self, current: int, total: int, message: str) -> None:
        """Record the progress."""
        self.progress.append((current, total, message))

    def should_yield(self) -> bool:
        """Pass a safe point, which may raise Interrupted; return whether it is the one of ``yields_after``."""
        self._pass_safe_point()
        return self.safe_points == self.yields_after

    def log(self, message: str, level: LogLevel, fields: Json) -> None:
        """Record the line as (level, message, fields)."""
        self.lines.append((level, message, dict(fields)))

    def stream(self, name: str, text: str, *, restart: bool) -> None:
        """Record the text as (name, text); with ``restart``, forget the earlier ones of this name."""
        self.streamed = [each for each in self.streamed if not restart or each[0] != name] + [(name, text)]

    def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Record the file as (name, bytes, content type)."""
        self.attached.append((name, file if isinstance(file, bytes) else file.read(), content_type))

    def enter_dependency(self, dependency: Dependency) -> None:
        """Record the dependency; raise Interrupted if it is ``down``."""
        if dependency.name in self.down:
            raise Interrupted("dependency")
        self.entered.append(dependency)

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        """Ignore the result: this runtime counts no failures."""

    def submit_child(self, child: Child) -> None:
        """Record the child."""
        self.submitted.append(child)

    def check_child(self, child: Child) -> None:
        """Accept every child: this runtime knows no kinds."""

    def children(self) -> Sequence[ChildJob]:
        """Return ``known_children``."""
        return self.known_children

    def emit(self, topic: str, message: Json, key: str) -> None:
        """Record the message as `Emitted`; raise PermanentError if a worker would refuse it."""
        self.emitted.append(read_emitted(topic, message, key, self.emitted))

    def _pass_safe_point(self) -> None:
        self.safe_points += 1
        if self.safe_points == self.interrupted_after:
            raise Interrupted(self.cause)


class AsyncRecordingRuntime:
    """A runtime for tests of asynchronous kinds, beside ``recorded``, whose requests it passes on."""

    def __init__(self, recorded: RecordingRuntime) -> None:
        self.recorded = recorded

    async def report_progress(self, current: int, total: int, message: str) -> None:
        """Record the progress."""
        self.recorded.report_progress(current, total, message)

    async def should_yield(self) -> bool:
        """Pass a safe point; return whether it is the one of ``yields_after``."""
        await asyncio.sleep(0)
        return self.recorded.should_yield()

    async def yield_requested(self) -> None:
        """Pass a safe point; wait until it is cancelled unless that is the one of ``yields_after``."""
        if not await self.should_yield():
            await asyncio.Event().wait()

    async def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Record the file as (name, bytes, content type)."""
        self.recorded.attach(name, file, content_type)

    def database(self) -> AbstractAsyncContextManager[None]:
        """Open nothing: a test of the ORM needs a database of its own."""
        return nullcontext()

    async def run[T](self, function: Callable[[], T]) -> T:
        """Call the function, in the thread of the test, so that it may use a database there."""
        return await sync_to_async(function)()


@dataclass(frozen=True, slots=True)
class TriedRun:
    """The result of `try_processor`, with the recorded calls; exactly one of ``outcome`` and ``error`` is set."""

    outcome: Outcome | None
    error: BaseException | None
    runtime: RecordingRuntime


def make_context(
    processor: type[TaskProcessor],
    payload: Json,
    *,
    state: Json | None = None,
    attempt: int = 1,
    settings: Json | None = None,
    deadline_at: datetime | None = None,
    runtime: RecordingRuntime | None = None,
) -> JobContext:
    """Return a context for a test, as of one execution of the processor.

    Raise jsonschema's ValidationError for a payload that submission would refuse.
    """
    schema = dict(processor.payload_schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(payload)
    return JobContext(
        tenant_id=_TENANT,
        job_id=_JOB,
        execution_id=_EXECUTION,
        kind=processor.kind,
        payload=json.loads(json.dumps(payload)),
        attempt=attempt,
        state=state or {},
        fencing_token=attempt,
        idempotency_key=str(_JOB),
        deadline_at=deadline_at,
        runtime=runtime or RecordingRuntime(),
        settings=settings or {},
    )


def try_processor(processor: type[TaskProcessor], payload: Json, **options: Any) -> TriedRun:
    """Run a processor as a worker does, and return its outcome or its error.

    The processor's ``handle_error`` is called first for an error of its own. ``options`` are those of
    `make_context`. A coroutine runs on an event loop of its own, so do not call this from another one.
    """
    runtime = options.pop("runtime", None) or RecordingRuntime()
    context = make_context(processor, payload, runtime=runtime, **options)
    instance = processor()
    try:
        return TriedRun(_outcome(_call(instance, instance.process, context)), None, runtime)
    except (Exception, Interrupted, BaseExceptionGroup) as raised:  # noqa: BLE001 - the raised error is the result
        error = attempt_error(raised) if iscoroutinefunction(instance.process) else raised
        answer = None if isinstance(error, Interrupted) else _call(instance, instance.handle_error, context, error)
        return TriedRun(_outcome(answer), None, runtime) if answer is not None else TriedRun(None, error, runtime)


def _call(instance: TaskProcessor, method: Callable[..., Any], context: JobContext, *args: object) -> Any:
    """Call a method of a processor; one of an asynchronous kind on an event loop of its own."""
    runtime = context.runtime
    if not iscoroutinefunction(instance.process) or not isinstance(runtime, RecordingRuntime):
        return method(context, *args)

    async def call() -> Any:
        answer = method(AsyncJobContext.of(context, AsyncRecordingRuntime(runtime)), *args)
        return await answer if isawaitable(answer) else answer

    return async_to_sync(call)()


def _outcome(answer: Outcome | Json | None) -> Outcome:
    return Complete(answer) if answer is None or isinstance(answer, Mapping) else answer
