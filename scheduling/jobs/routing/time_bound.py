"""Interruption of a plug-in's function at the end of its time, by the events of ``sys.monitoring``.

The code of the function's module reports each start of a function and each jump. There a call that is out of time is
ended by an exception in its own thread. Other code is not slowed, and not interrupted: a search by a regular expression
or a sleep is only found to be too slow when it has returned.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FunctionType
from typing import Final

_MONITORING: Final = sys.monitoring
_EVENTS: Final = _MONITORING.events.PY_START | _MONITORING.events.JUMP
_NAME: Final = "jobsplatform.time_bound"
# Without the ids that are meant for debuggers, coverage, profilers and optimizers.
_TOOL_IDS: Final = (3, 4)


class OutOfTimeError(BaseException):
    """The exception that ends a call; no Exception, which a function might handle."""


class _Deadlines(threading.local):
    """The end of this thread's present call: of its processor time, and of the clock, both in seconds."""

    cpu: float | None = None
    clock: float = 0.0


_deadlines = _Deadlines()


@contextmanager
def time_bound(*, cpu_seconds: float, seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in watched code of this block that runs longer, by processor time or by the clock."""
    _deadlines.clock = time.monotonic() + seconds
    _deadlines.cpu = time.thread_time() + cpu_seconds
    try:
        yield
    finally:
        _deadlines.cpu = None


def watch(function: object) -> None:
    """Let the code of the function's module be interrupted; without effect if other tools use all free places."""
    tool_id = _tool_id()
    module = sys.modules.get(getattr(function, "__module__", ""))
    if tool_id is None or module is None:
        return
    values = [function, *vars(module).values()]
    values += [member for value in values if isinstance(value, type) for member in vars(value).values()]
    own = [value for value in values if isinstance(value, FunctionType) and value.__module__ == module.__name__]
    for code in {code for each in own for code in _codes_in(each.__code__)}:
        _MONITORING.set_local_events(tool_id, code, _EVENTS)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


@cache
def _tool_id() -> int | None:
    for tool_id in _TOOL_IDS:
        if _MONITORING.get_tool(tool_id) is None:
            _MONITORING.use_tool_id(tool_id, _NAME)
            _MONITORING.register_callback(tool_id, _MONITORING.events.PY_START, _check_time)
            _MONITORING.register_callback(tool_id, _MONITORING.events.JUMP, _check_time)
            return tool_id
    return None


def _check_time(*_: object) -> None:
    end = _deadlines.cpu
    if end is not None and (time.thread_time() > end or time.monotonic() > _deadlines.clock):
        # Again at the next event, if the code handles it.
        raise OutOfTimeError
