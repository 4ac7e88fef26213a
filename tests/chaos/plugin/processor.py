"""Kinds that record each of their effects in the transaction of its checkpoint."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from django.db import connection

from scheduling.kit.base import JobContext, Json, PermanentError, TaskProcessor, Yielded

SAFE_POINT_SECONDS = 0.05
BEGIN, SETTLED = "begin", "settled"
LOOKS = 4
# Table of the effects. It has no tenant policy and no unique key, so that repetitions show.
TABLE = """
CREATE TABLE chaos_effect (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id uuid NOT NULL, job_id uuid NOT NULL, execution_id uuid NOT NULL,
    fence bigint NOT NULL, step text NOT NULL, label text NOT NULL, pid int NOT NULL, seen bigint,
    seconds float8
);
GRANT SELECT, INSERT ON chaos_effect TO {app}, {platform};
"""
_WRITE = """
INSERT INTO chaos_effect (tenant_id, job_id, execution_id, fence, step, label, pid, seen, seconds)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# Must be zero: jobs of other tenants that this connection can see.
_FOREIGN = "SELECT count(*) FROM scheduling_job WHERE tenant_id <> %s"
_SECONDS = {"type": "number", "minimum": 0, "maximum": 3_000}


def write_effect(context: JobContext, step: str, seen: int | None = None, *, seconds: float | None = None) -> None:
    """Insert one row in the open transaction."""
    with connection.cursor() as cursor:
        label = str(context.payload.get("label", ""))
        ids = [context.tenant_id, context.job_id, context.execution_id]
        cursor.execute(_WRITE, [*ids, context.fencing_token, step, label, os.getpid(), seen, seconds])


def begin(context: JobContext) -> None:
    """Record the process of an execution as its first effect."""
    context.checkpoint(context.state, effects=partial(write_effect, context, BEGIN))


class StepsProcessor(TaskProcessor):
    """Runs ``steps`` steps of ``seconds`` each, with a checkpoint and its effect after each, and one in its settlement.

    ``is_deaf``: no safe point within a step. ``fails_while``: it fails permanently while this file exists.
    """

    kind = "chaos_steps"
    title = "Take steps"
    has_circuit = False
    retry_delays_seconds = (0.5, 1.0, 2.0)
    payload_schema = {
        "type": "object",
        "properties": {
            "steps": {"type": "integer", "minimum": 0, "maximum": 1_000},
            "seconds": _SECONDS,
            "is_deaf": {"type": "boolean"},
            "fails_while": {"type": "string"},
            "result_bytes": {"type": "integer"},
            "ballast": {"type": "string"},
            "label": {"type": "string"},
        },
        "required": ["steps"],
    }

    def process(self, context: JobContext) -> Json | Yielded:
        if (mark := context.payload.get("fails_while")) and Path(mark).exists():
            raise PermanentError("failing as requested", code="asked_for")
        began = time.monotonic()
        begin(context)
        steps, seconds = int(context.payload["steps"]), float(context.payload.get("seconds", 0))
        for step in range(int(context.state.get("done", 0)), steps):
            if self._pause(context, seconds):
                return Yielded({"done": step})
            context.checkpoint({"done": step + 1}, effects=partial(write_effect, context, f"step {step}"))
        context.in_settlement(partial(write_effect, context, SETTLED, seconds=time.monotonic() - began))
        # More than the maximum of a result, if requested.
        return {"steps": steps} | ({"x": "x" * size} if (size := int(context.payload.get("result_bytes", 0))) else {})

    def _pause(self, context: JobContext, seconds: float) -> bool:
        """Wait, and return whether the slot is wanted by another job."""
        if context.payload.get("is_deaf"):
            time.sleep(seconds)
            return False
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if context.should_yield():
                return True
            time.sleep(min(SAFE_POINT_SECONDS, left))
        return False


class SmallProcessor(TaskProcessor):
    """Works ``milliseconds`` and saves a checkpoint with its only effect; its jobs travel in lists.

    Its settlement has no effects, so it also begins the list's next job. ``kills``: it kills its process instead.
    """

    kind = "chaos_small"
    title = "Do a little"
    has_circuit = False
    is_mergeable = False
    payload_schema = {
        "type": "object",
        "properties": {"milliseconds": {"type": "number"}, "kills": {"type": "boolean"}},
    }

    def process(self, context: JobContext) -> Json | None:
        if context.payload.get("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        if not context.state:
            time.sleep(float(context.payload.get("milliseconds", 0)) / 1_000)
            context.checkpoint({"done": 1}, effects=partial(write_effect, context, "step 0"))
        return None


class KillerProcessor(TaskProcessor):
    """Kills its own process, or with ``kills`` = ``worker`` the whole worker, in every execution."""

    kind = "chaos_killer"
    title = "Kill"
    has_circuit = False
    is_mergeable = False
    payload_schema = {"type": "object", "properties": {"kills": {"enum": ["process", "worker"]}}}

    def process(self, context: JobContext) -> Json | None:
        begin(context)
        if context.payload.get("kills") == "worker":
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        return None


class ProberProcessor(TaskProcessor):
    """Queries LOOKS times for rows of other tenants; then it ``fails`` permanently, or a statement of it ``breaks``."""

    kind = "chaos_prober"
    title = "Look around"
    has_circuit = False
    max_retries = 0
    payload_schema = {
        "type": "object",
        "properties": {"fails": {"type": "boolean"}, "breaks": {"type": "boolean"}},
    }

    def process(self, context: JobContext) -> Json | None:
        for number in range(LOOKS):
            context.checkpoint({}, effects=partial(self._look, context, number))
        if context.payload.get("breaks"):
            context.checkpoint({}, effects=_break)
        if context.payload.get("fails"):
            raise PermanentError("failing as requested", code="asked_for")
        return None

    def _look(self, context: JobContext, number: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_FOREIGN, [context.tenant_id])
            (seen,) = cursor.fetchone()
        write_effect(context, f"look {number}", seen)


class HolderProcessor(TaskProcessor):
    """Keeps the transaction of its first checkpoint, which has locked the job's row, open for ``seconds``."""

    kind = "chaos_holder"
    title = "Hold a row"
    has_circuit = False
    payload_schema = {"type": "object", "properties": {"seconds": _SECONDS}, "required": ["seconds"]}

    def process(self, context: JobContext) -> Json | None:
        is_first = not context.state
        context.checkpoint({"is_begun": True}, effects=partial(write_effect, context, BEGIN))
        if is_first:
            context.checkpoint({"is_held": True}, effects=partial(self._hold, context))
        context.in_settlement(partial(write_effect, context, SETTLED))
        return None

    def _hold(self, context: JobContext) -> None:
        write_effect(context, "held")
        time.sleep(float(context.payload["seconds"]))


def _break() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")
