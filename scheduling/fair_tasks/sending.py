"""Calls of fair tasks that would become plain Celery messages: refused before anything is sent.

The platform's workers run a fair task as a job only, so a plain message of it would be dropped. Every road of Celery's
to a message ends in `Celery.send_task`: `delay`, `apply_async`, signatures, canvases, a retry and a call by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import wraps
from typing import Any

from celery import Celery, _state
from celery.app.task import Task
from celery.local import Proxy

# The options of a message that name tasks to be sent later.
_LATER = ("link", "link_error", "chain", "chord")
_guarded: list[Task | Proxy] = []


class TenantMissingError(TypeError):
    """A fair task was called outside of a job without a tenant, so that no job could be submitted."""


class CanvasUnsupportedError(NotImplementedError):
    """A fair task was put into a chain, group, chord, map or callback, which jobs do not support."""


def tenant_missing(name: str) -> TenantMissingError:
    """Return the error for a call of the task without a tenant, with the cure."""
    return TenantMissingError(
        f"{name} is a fair task and runs as a tenant's job only: call {name}.for_tenant(tenant).delay(...), or"
        f" {name}.delay(...) of the decorated task inside a running job, which submits a job of the same tenant."
    )


def canvas_unsupported(name: str) -> CanvasUnsupportedError:
    """Return the error for a signature of the task, with the cure."""
    return CanvasUnsupportedError(
        f"{name} is a fair task, of which there are no signatures, chains, groups, chords, maps or callbacks: submit"
        " jobs with for_tenant(tenant).delay(...), child jobs inside a job, or a batch with on_completion."
    )


def guard(task: Task | Proxy) -> None:
    """Refuse plain messages of the task in every Celery application of this process, once it is complete."""
    _guarded.append(task)
    _state.connect_on_app_finalize(_guard_when_complete)
    for app in _state._get_active_apps():  # noqa: SLF001 - as `shared_task` itself does
        if app.finalized:
            _guard_app(app)


def _guard_when_complete(app: Celery) -> None:
    app.on_after_finalize.connect(_guard_sender, weak=False, dispatch_uid="scheduling.fair_tasks")


def _guard_sender(sender: Celery, **_: Any) -> None:
    _guard_app(sender)


def _guard_app(app: Celery) -> None:
    if getattr(app.send_task, "refuses_fair_tasks", False):
        return

    @wraps(app.send_task)
    def send_task(name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        names = {str(task.name) for task in _guarded}
        if name in names:
            raise tenant_missing(name)
        later = [options.get(option) for option in _LATER]
        if name.startswith("celery."):  # a map, a chord's end and the like have signatures for arguments
            later += [args, kwargs]
        if (found := next(_named_in(later, names), None)) is not None:
            raise canvas_unsupported(found)
        return type(app).send_task(app, name, args, kwargs, *rest, **options)

    send_task.refuses_fair_tasks = True  # type: ignore[attr-defined]
    app.send_task = send_task


def _named_in(value: Any, names: set[str]) -> Iterator[str]:
    """Yield the fair tasks among the signatures in a value."""
    if isinstance(value, Mapping):
        if isinstance(task := value.get("task"), str) and task in names:
            yield task
        for item in value.values():
            yield from _named_in(item, names)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named_in(item, names)
