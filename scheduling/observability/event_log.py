"""One structured line for each thing that happened to a job or to the dispatch of jobs."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from django.dispatch import Signal

from scheduling import signals
from tenants.signals import limit_warned

logger = structlog.stdlib.get_logger("scheduling.events")

# Signal, name of the event, level.
_LINES: tuple[tuple[Signal, str, str], ...] = (
    (signals.jobs_submitted, "jobs.submitted", "debug"),
    (signals.jobs_dispatched, "jobs.dispatched", "debug"),
    (signals.dispatch_undone, "dispatch.undone", "warning"),
    (signals.execution_started, "execution.started", "debug"),
    (signals.execution_ended, "execution.ended", "info"),
    (signals.executions_rescued, "executions.rescued", "warning"),
    (signals.schedules_fired, "schedules.fired", "info"),
    (signals.circuit_opened, "circuit.opened", "warning"),
    (signals.schedule_disabled, "schedule.disabled", "warning"),
    (signals.upkeep_ended, "upkeep.ended", "info"),
    (limit_warned, "limit.warned", "warning"),
    (signals.yields_decided, "yields.decided", "debug"),
    (signals.messages_republished, "messages.republished", "warning"),
    (signals.broker_emptied, "broker.emptied", "warning"),
    (signals.message_refused, "message.refused", "warning"),
)


def connect() -> None:
    """Write a line whenever a signal is sent."""
    for signal, event, level in _LINES:
        signal.connect(_line_writer(event, level), weak=False, dispatch_uid=f"scheduling.event_log.{event}")


def _line_writer(event: str, level: str) -> Any:
    number = logging.getLevelNamesMapping()[level.upper()]

    def write(sender: object, *, signal: Signal, **values: Any) -> None:
        del sender, signal
        # Of each execution there are two; what nobody reads is not put into words.
        if not logger.isEnabledFor(number):
            return
        readable = {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}
        getattr(logger, level)(event, **readable)

    return write
