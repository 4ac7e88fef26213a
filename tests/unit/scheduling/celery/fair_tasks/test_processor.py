"""A Celery task that runs as a job, and its outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, shared_task
from celery.exceptions import Ignore, Reject

from scheduling.celery.fair_tasks import FairTask, current_job, fair_task
from scheduling.kit import registry
from scheduling.kit.base import Child, Complete, Discard, JobContext, PermanentError, Retry, TransientError
from scheduling.kit.testing import TriedRun, try_processor

app = Celery("shop", set_as_current=False, broker="memory://")


class FlakyError(Exception):
    pass


@fair_task(kind="add")
@app.task
def add(left: int, right: int = 2) -> int:
    """Add."""
    return left + right


@fair_task(kind="bound", max_retries=7, timeout_seconds=9, queue="dataset", title="Bound")
@app.task(bind=True, max_retries=2, default_retry_delay=30)
def bound(self: Any, how: str) -> Any:  # noqa: C901 - one way out a line
    match how:
        case "request":
            return {"id": self.request.id, "retries": self.request.retries, "kind": self.request.job.kind}
        case "countdown":
            raise self.retry(countdown=5, exc=FlakyError("later"))
        case "eta":
            raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=100))
        case "plain":
            self.retry()
        case "returned":
            return self.retry(throw=False)
        case "ignore":
            raise Ignore
        case "reject":
            raise Reject("not mine")
        case "requeue":
            raise Reject("busy", requeue=True)
        case "permanent":
            raise PermanentError("never", code="never")
        case "transient":
            raise TransientError("soon")
    raise FlakyError("broken")


@fair_task(kind="auto", max_retries=2)
@app.task(autoretry_for=(FlakyError,), retry_backoff=3, retry_jitter=False, max_retries=2)
def auto(error: bool = True) -> None:
    if error:
        raise FlakyError("flaky")
    raise ValueError("not listed")


@fair_task(kind="plain")
@shared_task
def plain(value: str) -> str:
    job = current_job()
    return value if job is None else f"{value} for {job.kind}"


@pytest.fixture(autouse=True)
def registered_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the kinds of the tasks of this module."""
    monkeypatch.setattr(registry, "kinds", lambda: ["add", "bound", "auto", "plain"])


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail if a task that runs as a job sends a message."""
    sent: list[str] = []
    monkeypatch.setattr(Celery, "send_task", lambda self, name, *args, **kwargs: sent.append(name))
    yield sent
    assert sent == []


def run(task: FairTask, attempt: int = 1, **payload: Any) -> TriedRun:
    return try_processor(task.kind_class, payload, attempt=attempt)


def test_return_value_is_the_result() -> None:
    assert run(add, left=1).outcome == Complete({"value": 3})
    assert run(bound, attempt=2, how="request").outcome == Complete(
        {"id": "00000000-0000-7000-8000-0000000000bb", "retries": 1, "kind": "bound"}
    )


def test_unbound_task_reads_its_current_job() -> None:
    assert run(plain, value="x").outcome == Complete({"value": "x for plain"})
    assert plain("x") == "x"
    assert current_job() is None


@pytest.mark.parametrize(
    ("how", "seconds", "error"),
    [("countdown", 5, FlakyError), ("plain", 30, Exception), ("returned", 30, Exception), ("requeue", None, Reject)],
)
def test_retry_of_task_becomes_a_retry_outcome(how: str, seconds: float | None, error: type[Exception]) -> None:
    outcome = run(bound, how=how).outcome
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == seconds
    assert isinstance(outcome.error, error)


def test_retry_with_eta_becomes_a_delay() -> None:
    outcome = run(bound, how="eta").outcome
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == pytest.approx(100, abs=60)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 3), (2, 6)])
def test_retry_backoff_of_celery_decides_the_delay(attempt: int, seconds: float) -> None:
    outcome = run(auto, attempt=attempt).outcome
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == seconds
    assert isinstance(outcome.error, FlakyError)


def test_error_outside_autoretry_is_discarded() -> None:
    outcome = run(auto, error=False).outcome
    assert isinstance(outcome, Discard)
    assert outcome.reason == "not listed"
    assert isinstance(run(bound, how="else").outcome, Discard)


def test_exhausted_retries_of_task_equal_those_of_the_kind() -> None:
    outcome = run(auto, attempt=3).outcome
    assert isinstance(outcome, Retry)
    assert isinstance(outcome.error, FlakyError)
    assert auto.kind_class.max_retries == 2


def test_ignore_completes_the_job_and_reject_discards_it() -> None:
    assert run(bound, how="ignore").outcome == Complete()
    outcome = run(bound, how="reject").outcome
    assert isinstance(outcome, Discard)
    assert outcome.reason == "not mine"


@pytest.mark.parametrize(("how", "error"), [("permanent", PermanentError), ("transient", TransientError)])
def test_errors_of_the_kit_are_not_converted(how: str, error: type[Exception]) -> None:
    tried = run(bound, how=how)
    assert tried.outcome is None
    assert isinstance(tried.error, error)


def test_kind_takes_its_options_from_the_task_by_default() -> None:
    kind = bound.kind_class
    assert (kind.kind, kind.title, kind.default_queue) == ("bound", "Bound", "dataset")
    assert (kind.max_retries, kind.timeout_seconds, list(kind.retry_delays_seconds)) == (7, 9, [30])
    assert add.kind_class.max_retries == 3
    assert not add.kind_class.is_mergeable
    assert add.kind_class.__doc__ == "Add."
    assert kind.__module__ == __name__


def test_fair_task_remains_a_celery_task(nothing_is_sent: list[str]) -> None:
    assert add(1) == 3
    assert add.name == f"{__name__}.add"
    assert app.tasks[add.name].run(2, 2) == 4
    assert add.apply(args=(5, 6)).get() == 11
    with pytest.raises(FlakyError):
        bound("else")


def test_task_called_by_a_task_becomes_a_child_job() -> None:
    @fair_task(kind="calling")
    @app.task
    def call() -> None:
        assert add.delay(1, right=3) is None  # type: ignore[func-returns-value]
        add.apply_async((2,), {"right": 4}, priority=1)

    submitted = run(call).runtime.submitted
    assert submitted == [
        Child("add", {"left": 1, "right": 3}),
        Child("add", {"left": 2, "right": 4}, priority=1),
    ]


def test_child_call_refuses_unknown_options_and_arguments() -> None:
    @fair_task(kind="misfit")
    @app.task
    def misfit(how: str) -> None:
        if how == "option":
            add.apply_async((1,), countdown=5)
        add.delay("too", "many", "arguments")

    for how, message in (("option", "does not accept countdown"), ("arguments", "too many positional arguments")):
        tried = run(misfit, how=how)
        assert isinstance(tried.outcome, Discard)
        assert message in tried.outcome.reason


def test_plain_function_becomes_a_task() -> None:
    @fair_task(kind="greeting")
    def greet(name: str) -> str:
        return f"Hello {name}"

    assert greet("you") == "Hello you"
    assert run(greet, name="you").outcome == Complete({"value": "Hello you"})


def test_unknown_option_is_named_in_the_error() -> None:
    with pytest.raises(TypeError, match="does not accept colour"):
        fair_task(kind="x", colour=1)
    with pytest.raises(TypeError, match="does not accept payload"):
        add.for_tenant("acme", payload={})


def test_current_job_is_a_job_context() -> None:
    seen: list[JobContext | None] = []

    @fair_task(kind="looking")
    @app.task
    def look() -> None:
        seen.append(current_job())

    look.task.run()
    run(look)
    assert seen[0] is None
    assert isinstance(seen[1], JobContext)


async def wait() -> None:
    """Return nothing."""


@pytest.mark.parametrize("task", [wait, app.task(wait)])
def test_coroutine_function_is_refused_as_a_fair_task(task: Any) -> None:
    with pytest.raises(TypeError, match="AsyncTaskProcessor"):
        _ = fair_task(kind="wait")(task).kind_class
