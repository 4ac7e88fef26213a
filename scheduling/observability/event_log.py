"""Receivers that write a structured log line for each event of a job or a dispatch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.dispatch import Signal

from scheduling import signals
from tenants.cache.redis_guards import RefusalCount
from tenants.signals import limit_warned

logger = structlog.stdlib.get_logger("scheduling.events")

# Limits log lines during a flood of forged messages.
_refusals = RefusalCount("message.refused")
_NUMBERS = logging.getLevelNamesMapping()
# Signal, name of the event, level.
_LINES: tuple[tuple[Signal, str, str], ...] = (
    (signals.jobs_submitted, "jobs.submitted", "debug"),
    (signals.jobs_dispatched, "jobs.dispatched", "debug"),
    (signals.dispatch_undone, "dispatch.undone", "warning"),
    (signals.executions_rescued, "executions.rescued", "warning"),
    (signals.schedules_fired, "schedules.fired", "info"),
    (signals.circuit_opened, "circuit.opened", "warning"),
    (signals.tenants_left_out, "tenants.left_out", "warning"),
    (signals.sessions_ended, "sessions.ended", "warning"),
    (signals.schedule_disabled, "schedule.disabled", "warning"),
    (signals.upkeep_ended, "upkeep.ended", "info"),
    (limit_warned, "limit.warned", "warning"),
    (signals.yields_decided, "yields.decided", "debug"),
    (signals.messages_republished, "messages.republished", "warning"),
    (signals.broker_emptied, "broker.emptied", "warning"),
)

_ROUTE = ("tenant_id", "job_id", "execution_id", "kind", "queue", "tier")
# Signals of many executions, of which each gets a line with these fields.
_LINES_OF_EXECUTIONS: tuple[tuple[Signal, str, str, tuple[str, ...]], ...] = (
    (signals.executions_started, "execution.started", "debug", (*_ROUTE, "pickup_seconds", "wait_seconds")),
    (signals.executions_ended, "execution.ended", "info", (*_ROUTE, "outcome", "state", "seconds")),
)


def connect() -> None:
    """Connect a receiver to each signal that writes a log line."""
    writers = [(signal, event, _line_writer(event, level)) for signal, event, level in _LINES]
    writers += [
        (signal, event, _lines_writer(event, level, names)) for signal, event, level, names in _LINES_OF_EXECUTIONS
    ]
    writers.append((signals.message_refused, "message.refused", _count_refusal))
    for signal, event, writer in writers:
        signal.connect(writer, weak=False, dispatch_uid=f"scheduling.event_log.{event}")


def _count_refusal(sender: object, *, reason: str, **_: Any) -> None:
    _refusals.note(reason)


def _line_writer(event: str, level: str) -> Any:
    def write(sender: object, *, signal: Signal, **values: Any) -> None:
        del sender, signal
        # Formats nothing if the level is disabled.
        if _is_read(level):
            getattr(logger, level)(event, **_readable(values))

    return write


def _lines_writer(event: str, level: str, names: Sequence[str]) -> Any:
    def write(sender: object, *, executions: Sequence[object], **_: Any) -> None:
        del sender
        if not _is_read(level):
            return
        for execution in executions:
            getattr(logger, level)(event, **_readable({name: getattr(execution, name) for name in names}))

    return write


def _is_read(level: str) -> bool:
    return bool(logger.isEnabledFor(_NUMBERS[level.upper()]))


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}
