"""Every interface of Celery that would send a plain message of a fair task raises, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, chord, chunks, group, shared_task, signature
from celery.exceptions import Reject, Retry

from scheduling.celery.fair_tasks import CanvasUnsupportedError, TenantMissingError, fair_task

app = Celery("sending", set_as_current=False, broker="memory://", backend="cache+memory://")


@fair_task(kind="resize")
@app.task(bind=True)
def resize(self: Any, image: int = 1) -> int:
    return image


@app.task
def plain(value: int = 1) -> int:
    return value


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the messages that leave the process."""
    names: list[str] = []
    app.finalize()
    monkeypatch.setattr(app.amqp, "send_task_message", lambda producer, name, message, **rest: names.append(name))
    return names


def raw() -> Any:
    """Return a signature of the undecorated task, as a call by name creates it."""
    return signature(resize.name, args=(1,), app=app)


ROADS: dict[str, Callable[[], Any]] = {
    "delay": lambda: resize.delay(1),
    "apply_async": lambda: resize.apply_async((1,), queue="photos"),
    "delay of the task behind it": lambda: resize.task.delay(1),
    "signature by name": lambda: raw().delay(),
    "send_task": lambda: app.send_task(resize.name, (1,)),
    "group": lambda: group(raw(), raw()).apply_async(),
    "first of a chain": lambda: chain(raw(), plain.si()).apply_async(),
    "header of a chord": lambda: chord([raw()], plain.si()).apply_async(),
}
CANVASES: dict[str, Callable[[], Any]] = {
    "s": lambda: resize.s(1),
    "si": lambda: resize.si(1),
    "signature": lambda: resize.signature((1,)),
    "subtask": lambda: resize.subtask((1,)),
    "map": lambda: resize.map([1]),
    "starmap": lambda: resize.starmap([(1,)]),
    "chunks": lambda: resize.chunks([(1,)], 1),
    "second of a chain": lambda: chain(plain.s(), raw()).apply_async(),
    "body of a chord": lambda: chord([plain.si(), plain.si()], raw()).apply_async(),
    "map by name": lambda: raw().type.map([1]).apply_async(),
    "chunks by name": lambda: chunks(raw(), iter([(1,)]), 1).apply_async(),
    "link": lambda: plain.apply_async(link=raw()),
    "link_error": lambda: plain.apply_async(link_error=[raw()]),
}


@pytest.mark.parametrize("road", ROADS)
def test_call_without_a_tenant_raises(road: str, sent: list[str]) -> None:
    with pytest.raises((TenantMissingError, CanvasUnsupportedError), match=r"resize|fair task"):
        ROADS[road]()
    assert sent == []


@pytest.mark.parametrize("canvas", CANVASES)
def test_canvas_with_a_fair_task_raises(canvas: str, sent: list[str]) -> None:
    with pytest.raises(CanvasUnsupportedError, match=resize.name):
        CANVASES[canvas]()
    assert sent == []


def test_call_without_a_tenant_raises_when_tasks_are_always_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf.changes, "task_always_eager", True)
    assert app.conf.task_always_eager
    with pytest.raises(TenantMissingError, match="for_tenant"):
        resize.delay(1)


def test_plain_tasks_are_sent_as_before(sent: list[str]) -> None:
    plain.delay(1)
    chain(plain.s(), plain.s()).apply_async()
    group(plain.s(1), plain.s(2)).apply_async()
    assert len(sent) == 4


def test_retry_outside_of_a_job_sends_nothing(sent: list[str]) -> None:
    with pytest.raises(Retry):
        resize.task.retry()
    resize.task.push_request(called_directly=False, id="1", args=(1,), kwargs={}, retries=0)
    try:
        with pytest.raises(Reject):
            resize.task.retry()
    finally:
        resize.task.pop_request()
    assert sent == []


def test_call_in_place_and_apply_run_the_function(sent: list[str]) -> None:
    assert (resize(3), resize.apply((4,)).get()) == (3, 4)
    assert sent == []


def test_shared_task_is_refused_in_each_application(sent: list[str]) -> None:
    @fair_task(kind="shared_resize")
    @shared_task(name="sending.shared_resize")
    def shared() -> None: ...

    later = Celery("later", set_as_current=False, broker="memory://")
    later.finalize()
    for each in (app, later):
        with pytest.raises(TenantMissingError, match=r"sending\.shared_resize"):
            each.send_task("sending.shared_resize")
        with pytest.raises(TenantMissingError):
            each.tasks["sending.shared_resize"].delay()
