"""Processors of diagnostic job kinds, which do nothing or misbehave on purpose.

``noop`` and ``sleep`` are always safe. The others show how the platform handles a job that kills its worker, fails,
never reaches a safe point or exhausts memory.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    Complete,
    JobContext,
    Json,
    PermanentError,
    Retry,
    TaskProcessor,
    TransientError,
    Yielded,
)

SAFE_POINT_SECONDS = 0.05
# Celery's own limit ends every job after an hour.
MAX_SLEEP_SECONDS = 3_000
_SECONDS_SCHEMA = {"type": "number", "minimum": 0, "maximum": MAX_SLEEP_SECONDS}


class NoopProcessor(TaskProcessor):
    """Processor of the kind `noop`, whose jobs complete at once."""

    kind = "noop"
    title = gettext_noop("Do nothing")
    description = gettext_noop("Completes at once; its payload is ignored.")

    def process(self, context: JobContext) -> Json | None:
        return None


class SleepProcessor(TaskProcessor):
    """Processor of the kind `sleep`, whose jobs sleep for the requested time and can be interrupted."""

    kind = "sleep"
    title = gettext_noop("Sleep")
    description = gettext_noop(
        "Sleeps ``seconds`` with a safe point every 50 ms; a preempted slice resumes where it stopped."
    )
    timeout_seconds = MAX_SLEEP_SECONDS + 60.0
    payload_schema = {
        "type": "object",
        "properties": {"seconds": _SECONDS_SCHEMA},
        "required": ["seconds"],
    }

    def process(self, context: JobContext) -> Complete | Yielded:
        seconds = float(context.payload["seconds"])
        slept_before = float(context.state.get("slept_seconds", 0.0))
        context.log("sleeping", seconds=seconds, slept_before=round(slept_before, 3))
        began = time.monotonic()
        while (slept := slept_before + time.monotonic() - began) < seconds:
            if context.should_yield():
                return Yielded({"slept_seconds": slept})
            time.sleep(min(SAFE_POINT_SECONDS, seconds - slept))
        return Complete({"slept_seconds": seconds})


class CrashProcessor(TaskProcessor):
    """Processor of the kind `crash`, whose jobs kill their own process."""

    kind = "crash"
    title = gettext_noop("Kill the worker's process")
    description = gettext_noop(
        "Kills its own process, in the first ``times`` executions or in all of them.\n\n``seconds`` delays the "
        "end, so that a test can observe the running job."
    )
    is_diagnostic = True
    has_circuit = False
    payload_schema = {
        "type": "object",
        "properties": {"times": {"type": "integer", "minimum": 1}, "seconds": _SECONDS_SCHEMA},
    }

    def process(self, context: JobContext) -> Json | None:
        # The fencing token rises with each start, also after a crash.
        if context.fencing_token > int(context.payload.get("times", context.fencing_token)):
            return {"survived_start": context.fencing_token}
        context.log("about to kill this process", level="warning")
        time.sleep(float(context.payload.get("seconds", 0)))
        os.kill(os.getpid(), signal.SIGKILL)
        return None


class FailProcessor(TaskProcessor):
    """Processor of the kind `fail`, whose jobs raise the requested error."""

    kind = "fail"
    title = gettext_noop("Fail")
    description = gettext_noop(
        "Raises in the first ``times`` attempts or in all of them; its back-off is short.\n\n``how`` is "
        "``transient``, ``permanent``, ``unknown`` (any other exception), ``retry`` (an outcome) or ``exit`` (it "
        "ends its process); ``after_seconds`` is the delay that the error requests."
    )
    is_diagnostic = True
    has_circuit = False
    retry_delays_seconds = (0.5, 1.0, 2.0)
    payload_schema = {
        "type": "object",
        "properties": {
            "how": {"enum": ["transient", "permanent", "unknown", "retry", "exit"]},
            "times": {"type": "integer", "minimum": 1},
            "message": {"type": "string"},
            "after_seconds": _SECONDS_SCHEMA,
        },
    }

    def process(self, context: JobContext) -> Json | Retry:
        if context.attempt > int(context.payload.get("times", context.attempt)):
            return {"succeeded_at_attempt": context.attempt}
        message = str(context.payload.get("message", "failing as requested"))
        after_seconds = context.payload.get("after_seconds")
        match context.payload.get("how", "transient"):
            case "permanent":
                raise PermanentError(message, code="asked_for")
            case "unknown":
                raise ArithmeticError(message)
            case "exit":
                sys.exit(message)
            case "retry":
                return Retry(TransientError(message, code="asked_for"), after_seconds)
            case _:
                raise TransientError(message, code="asked_for", retry_after_seconds=after_seconds)


class SpinProcessor(TaskProcessor):
    """Processor of the kind `spin`, whose jobs use a processor without reaching a safe point."""

    kind = "spin"
    title = gettext_noop("Spin without a safe point")
    description = gettext_noop(
        "Uses a processor for ``seconds`` without any safe point and logs ``lines`` lines; its timeout is short."
    )
    is_diagnostic = True
    has_circuit = False
    timeout_seconds = 2.0
    max_retries = 1
    retry_delays_seconds = (0.5,)
    payload_schema = {
        "type": "object",
        "properties": {"seconds": _SECONDS_SCHEMA, "lines": {"type": "integer", "minimum": 0, "maximum": 1_000_000}},
        "required": ["seconds"],
    }

    def process(self, context: JobContext) -> Json | None:
        for line in range(int(context.payload.get("lines", 0))):
            context.log("spinning " * 200, line=line)
        until = time.monotonic() + float(context.payload["seconds"])
        rounds = 0
        while time.monotonic() < until:
            rounds += 1
        return {"rounds": rounds}


class AllocateProcessor(TaskProcessor):
    """Processor of the kind `allocate`, whose jobs hold the requested amount of memory."""

    kind = "allocate"
    title = gettext_noop("Allocate memory")
    description = gettext_noop("Holds ``mebibytes`` of touched memory for ``seconds``.")
    is_diagnostic = True
    has_circuit = False
    payload_schema = {
        "type": "object",
        "properties": {"mebibytes": {"type": "integer", "minimum": 1, "maximum": 65_536}, "seconds": _SECONDS_SCHEMA},
        "required": ["mebibytes"],
    }

    def process(self, context: JobContext) -> Json | None:
        held = bytearray(b"x") * (int(context.payload["mebibytes"]) * 1024 * 1024)
        time.sleep(float(context.payload.get("seconds", 0)))
        return {"bytes": len(held)}
