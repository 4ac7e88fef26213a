"""Receivers of the signals of jobs and dispatch: they count each event and write its log line."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import structlog
from django.dispatch import Signal

from scheduling import signals
from scheduling.breakers.queries import dependency_label
from scheduling.execution.settlement import SettledExecution
from scheduling.execution.start import StartedTurn
from scheduling.models import Execution
from scheduling.observability import exemplars, metrics
from tenants.cache.redis_guards import RefusalCount
from tenants.signals import cache_asked, limit_warned

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


def connect_counters() -> None:
    """Connect the receivers that update the metrics to the signals."""
    receivers = (
        (signals.jobs_submitted, _on_submitted),
        (signals.jobs_shed, _on_shed),
        (signals.routing_fell_back, _on_fallback),
        (signals.jobs_dispatched, _on_dispatched),
        (signals.waiting_jobs_moved, _on_moved),
        (signals.dispatch_undone, _on_undone),
        (signals.broker_emptied, _on_emptied),
        (signals.duty_ended, _on_duty_ended),
        (signals.executions_started, _on_started),
        (signals.executions_ended, _on_ended),
        (signals.executions_rescued, _on_rescued),
        (signals.upkeep_ended, _on_upkeep),
        (limit_warned, _on_limit_warned),
        (cache_asked, _on_cache_asked),
        (signals.messages_republished, _on_republished),
        (signals.message_refused, _on_refused),
        (signals.circuit_opened, _on_circuit_opened),
        (signals.yields_decided, _on_yields_decided),
        (signals.worker_given_up, _on_given_up),
        (signals.tenants_left_out, _on_left_out),
        (signals.alert_message_ended, _on_alert_message),
        (signals.outbox_attempted, _on_outbox_attempt),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, dispatch_uid=f"scheduling.metrics.{receiver.__name__}")


def connect_log() -> None:
    """Connect a receiver to each signal that writes a log line."""
    writers = [(signal, event, _line_writer(event, level)) for signal, event, level in _LINES]
    writers += [
        (signal, event, _lines_writer(event, level, names)) for signal, event, level, names in _LINES_OF_EXECUTIONS
    ]
    writers.append((signals.message_refused, "message.refused", _count_refusal))
    for signal, event, writer in writers:
        signal.connect(writer, weak=False, dispatch_uid=f"scheduling.event_log.{event}")


def _on_alert_message(sender: object, *, channel: str, is_sent: bool, **_: Any) -> None:
    metrics.ALERT_MESSAGES.labels(channel, "sent" if is_sent else "failed").inc()


def _on_outbox_attempt(sender: object, *, adapter: str, is_delivered: bool, **_: Any) -> None:
    metrics.OUTBOX.labels(adapter, "delivered" if is_delivered else "failed").inc()


def _on_submitted(sender: object, *, kind: str, queue: str, tier: str, count: int, **_: Any) -> None:
    metrics.SUBMITTED.labels(kind, queue, tier).inc(count)


def _on_shed(sender: object, *, kind: str, tier: str, action: str, **_: Any) -> None:
    metrics.SHED.labels(kind, tier, action).inc()


def _on_fallback(sender: object, *, strategy: str, cause: str, **_: Any) -> None:
    metrics.ROUTING_FALLBACKS.labels(strategy, cause).inc()


def _on_dispatched(sender: object, *, count: int, seconds: float, **_: Any) -> None:
    metrics.DISPATCHED.inc(count)
    metrics.TICK.observe(seconds)


def _on_moved(sender: object, *, event: str, count: int, **_: Any) -> None:
    metrics.MOVED.labels(event).inc(count)


def _on_undone(sender: object, *, count: int, **_: Any) -> None:
    metrics.UNDONE.inc(count)


def _on_refused(sender: object, *, reason: str, **_: Any) -> None:
    metrics.REFUSED.labels(reason).inc()


def _on_emptied(sender: object, **_: Any) -> None:
    metrics.EMPTIED.inc()


def _on_duty_ended(sender: object, *, duty: str, seconds: float, is_failed: bool, **_: Any) -> None:
    metrics.DUTY.labels(duty).observe(seconds)
    if is_failed:
        metrics.DUTY_FAILURES.labels(duty).inc()


def _on_started(sender: object, *, executions: Sequence[StartedTurn], **_: Any) -> None:
    routes = _grouped(executions, attrgetter("kind", "queue", "tier"))
    for (kind, queue, tier), begun in routes.items():
        metrics.STARTED.labels(kind, queue, tier).inc(len(begun))
        pickup, wait = metrics.PICKUP.labels(queue), metrics.WAIT.labels(queue, tier)
        for one in begun:
            exemplars.note_begun(one.execution_id, one.traceparent)
            pickup.observe(one.pickup_seconds)
            if one.wait_seconds is not None:
                wait.observe(one.wait_seconds)
                exemplars.note_wait(queue, tier, one.wait_seconds, one.execution_id)


def _on_ended(sender: object, *, executions: Sequence[SettledExecution], **_: Any) -> None:
    routes = _grouped(executions, attrgetter("kind", "queue", "tier", "outcome"))
    for (kind, queue, tier, outcome), ended in routes.items():
        metrics.ENDED.labels(kind, queue, tier, outcome).inc(len(ended))
        run = metrics.RUN.labels(queue, tier)
        for one in ended:
            run.observe(one.seconds)
            exemplars.note_run(queue, tier, one.seconds, one.execution_id)
        if outcome == Execution.Outcome.YIELDED:
            metrics.YIELDS.labels("yielded").inc(len(ended))


def _grouped[T](executions: Sequence[T], route: Callable[[T], tuple[str, ...]]) -> Mapping[tuple[str, ...], list[T]]:
    groups: dict[tuple[str, ...], list[T]] = defaultdict(list)
    for execution in executions:
        groups[route(execution)].append(execution)
    return groups


def _on_rescued(sender: object, *, count: int, reason: str, **_: Any) -> None:
    metrics.RESCUED.labels(reason).inc(count)


def _on_upkeep(sender: object, *, name: str, outcome: str, **_: Any) -> None:
    metrics.UPKEEP.labels(name, outcome).inc()


def _on_limit_warned(sender: object, *, key: str, percent: int, **_: Any) -> None:
    metrics.LIMIT_WARNINGS.labels(key, percent).inc()


def _on_cache_asked(sender: object, *, cache: str, place: str, count: int, **_: Any) -> None:
    metrics.CACHE_READS.labels(cache, place).inc(count)


def _on_republished(sender: object, *, count: int, **_: Any) -> None:
    metrics.REPUBLISHED.inc(count)


def _on_circuit_opened(sender: object, *, kind: str, dependency: str, tenant_id: UUID | None, **_: Any) -> None:
    metrics.CIRCUITS.labels(kind, dependency_label(dependency, is_shared=tenant_id is None)).inc()


def _on_yields_decided(sender: object, *, requested: int, withdrawn: int, **_: Any) -> None:
    metrics.YIELDS.labels("requested").inc(requested)
    metrics.YIELDS.labels("withdrawn").inc(withdrawn)


def _on_left_out(sender: object, *, holders: Mapping[UUID, int | None], **_: Any) -> None:
    metrics.LEFT_OUT.inc(len(holders))


def _on_given_up(sender: object, *, pool: str, reason: str, **_: Any) -> None:
    metrics.GIVEN_UP.labels(pool, reason).inc()


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
