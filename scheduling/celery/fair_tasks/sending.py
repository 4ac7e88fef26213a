"""Guard that refuses to send plain Celery messages of fair tasks.

Workers of the platform run a fair task only as a job, so a plain message would be dropped. Every way to send one calls
`Celery.send_task`: `delay`, `apply_async`, signatures, canvases, a retry and a call by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any

from celery import Celery
from celery.app.task import Task
from celery.exceptions import NotRegistered
from celery.local import Proxy

# Message options that name tasks to be sent later.
_LATER = ("link", "link_error", "chain", "chord")
_send_unguarded = Celery.send_task
_unnamed: list[Task | Proxy] = []
_names: set[str] = set()


class TenantMissingError(TypeError):
    """The error for a call of a fair task outside of a job and without a tenant."""


class CanvasUnsupportedError(NotImplementedError):
    """The error for a fair task in a chain, group, chord, map or callback, which jobs do not support."""


def tenant_missing(name: str) -> TenantMissingError:
    """Build the error for a call of a fair task without a tenant; its message says what to do."""
    return TenantMissingError(
        f"{name} is a fair task and runs only as a tenant's job: call {name}.for_tenant(tenant).delay(...), or"
        f" {name}.delay(...) of the decorated task inside a running job, which submits a job of the same tenant."
    )


def canvas_unsupported(name: str) -> CanvasUnsupportedError:
    """Build the error for a signature of a fair task; its message says what to do."""
    return CanvasUnsupportedError(
        f"{name} is a fair task, which does not support signatures, chains, groups, chords, maps or callbacks:"
        " submit jobs with for_tenant(tenant).delay(...), child jobs inside a job, or a batch with on_completion."
    )


def guard(task: Task | Proxy) -> None:
    """Refuse, in this process, every plain message of the task, whatever Celery application sends it."""
    _unnamed.append(task)
    Celery.send_task = _send_task


@wraps(_send_unguarded)
def _send_task(app: Celery, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
    if name in _guarded_names():
        raise tenant_missing(name)
    later = [options.get(option) for option in _LATER]
    if name.startswith("celery."):  # a map, the end of a chord and the like have signatures as arguments
        later += [args, kwargs]
    if (found := next(_named_in(later, _names), None)) is not None:
        raise canvas_unsupported(found)
    return _send_unguarded(app, name, args, kwargs, *rest, **options)


def _guarded_names() -> set[str]:
    """Return the names of the fair tasks; a shared task has one only once an application has registered it."""
    for task in [*_unnamed]:
        with suppress(NotRegistered, ValueError):  # another thread may have removed it
            _names.add(str(task.name))
            _unnamed.remove(task)
    return _names


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
