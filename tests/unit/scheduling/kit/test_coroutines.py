"""Kinds whose work is a coroutine, run by the kit's test tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from scheduling.kit.base import (
    AsyncJobContext,
    AsyncTaskProcessor,
    Child,
    Complete,
    Dependency,
    Discard,
    Interrupted,
    Json,
    Outcome,
    PermanentError,
    TaskProcessor,
    Yielded,
)
from scheduling.kit.runtime import attempt_error
from scheduling.kit.testing import RecordingRuntime, try_processor


class Summaries(AsyncTaskProcessor):
    """Summarises all texts at once."""

    kind = "summaries"
    settings: ClassVar = ("summaries.words",)

    async def process(self, context: AsyncJobContext) -> Outcome | Json | None:
        done: dict[str, str] = dict(context.state.get("done", {}))

        async def summarise(text: str) -> None:
            async with context.dependency("model"):
                await asyncio.sleep(0)
                if not text:
                    raise PermanentError("A text is empty.", code="text_empty")
                done[text] = text[: context.setting("summaries.words")]
            await context.checkpoint({"done": done})
            await context.report_progress(len(done), len(context.payload["texts"]))

        for text in context.payload["texts"]:
            if text not in done:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(summarise(text))
            if await context.should_yield():
                return Yielded({"done": done})
        async with context.database():
            context.submit_child("mail", await context.run(dict, done))
        context.log("summarised", texts=len(done))
        return {"summaries": done}

    async def handle_error(self, context: AsyncJobContext, error: BaseException) -> Discard | None:
        await asyncio.sleep(0)
        return Discard("Too large.", error) if isinstance(error, MemoryError) else None


def run(texts: list[str], **options: Any) -> Any:
    return try_processor(Summaries, {"texts": texts}, settings={"summaries.words": 2}, **options)


def test_coroutine_runs_and_its_calls_are_recorded() -> None:
    tried = run(["abc", "def"])
    assert tried.outcome == Complete({"summaries": {"abc": "ab", "def": "de"}})
    assert tried.runtime.progress == [(1, 2, ""), (2, 2, "")]
    assert tried.runtime.states[0] == {"done": {"abc": "ab"}}
    assert tried.runtime.entered == [Dependency("model")] * 2
    assert tried.runtime.submitted == [Child("mail", {"abc": "ab", "def": "de"})]
    assert tried.runtime.lines == [("info", "summarised", {"texts": 2})]


def test_coroutine_yields_and_resumes() -> None:
    first = run(["abc", "def"], runtime=RecordingRuntime(yields_after=2))
    assert first.outcome == Yielded({"done": {"abc": "ab"}})
    second = run(["abc", "def"], state=first.outcome.state)
    assert second.runtime.progress == [(2, 2, "")]


@pytest.mark.parametrize(
    "options",
    [{"interrupted_after": 1}, {"interrupted_after": 2}, {"down": frozenset({"model"}), "cause": "dependency"}],
)
def test_interruption_in_a_task_of_the_coroutine_stops_it(options: Mapping[str, Any]) -> None:
    assert isinstance(run(["abc"], runtime=RecordingRuntime(**options)).error, Interrupted)


def test_error_in_a_task_of_the_coroutine_is_the_attempts_error() -> None:
    error = run(["", "abc"]).error
    assert isinstance(error, PermanentError)
    assert error.code == "text_empty"


class Failing(TaskProcessor):
    """A kind that is a coroutine though its class does not say so."""

    kind = "failing"

    async def process(self, context: AsyncJobContext) -> None:  # type: ignore[override]
        raise MemoryError

    def handle_error(self, context: Any, error: BaseException) -> Discard:
        assert isinstance(context, AsyncJobContext)
        return Discard("Too large.", error)


def test_handle_error_need_not_be_a_coroutine() -> None:
    outcome = try_processor(Failing, {}).outcome
    assert isinstance(outcome, Discard)
    assert outcome.reason == "Too large."


class Racing(AsyncTaskProcessor):
    """A kind that waits for its work and for a request to yield, whichever comes first."""

    kind = "racing"

    async def process(self, context: AsyncJobContext) -> Outcome:
        work = asyncio.create_task(asyncio.sleep(0.01))
        asked = asyncio.create_task(context.yield_requested())
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return Complete(None) if work.done() else Yielded({})


def test_waiting_for_a_request_to_yield_ends_with_it() -> None:
    assert try_processor(Racing, {}).outcome == Complete(None)
    assert try_processor(Racing, {}, runtime=RecordingRuntime(yields_after=1)).outcome == Yielded({})


def test_error_of_an_attempt_is_the_first_unless_it_was_interrupted() -> None:
    first, second, stop = ValueError("1"), ValueError("2"), Interrupted("cancel")
    assert attempt_error(first) is first
    assert attempt_error(ExceptionGroup("", [ExceptionGroup("", [first]), second])) is first
    assert attempt_error(BaseExceptionGroup("", [first, BaseExceptionGroup("", [second, stop])])) is stop
