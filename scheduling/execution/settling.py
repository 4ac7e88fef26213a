"""Storing of settlements: one with the processor's effects, or those of a whole message in one statement."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import connection

from scheduling.exceptions import FenceLostError
from scheduling.execution import policy
from scheduling.execution.logs.buffer import LogBuffer, drained, write_buffers
from scheduling.execution.logs.job_log import END_SECONDS
from scheduling.execution.processing import PendingSettlement, with_costs_of
from scheduling.execution.settlement import SettledExecution, Settlement
from scheduling.execution.settlement import settle as settle_executions
from scheduling.execution.start import StartedExecution
from scheduling.kit import registry
from scheduling.worker.connections import CONNECTION_ERRORS, retry_on_disconnect
from tenants.transactions import is_session_timeout

logger = logging.getLogger(__name__)

# Finished work waits this long for an unavailable database; then the lease decides.
SETTLE_PATIENCE_SECONDS = 60.0


def settle_with_effects(pending: PendingSettlement, started: StartedExecution) -> None:
    """Store a settlement and run its effects in one transaction; if the effects fail, settle the attempt as failed."""
    if pending.settlement is None:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
        return
    settlement = pending.settlement
    try:
        settled = retry_on_disconnect(
            lambda: settle_executions([settlement], effects=pending.effects),
            give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
        )
    except FenceLostError:
        settled = []
    except Exception as error:
        is_away = isinstance(error, CONNECTION_ERRORS) and not is_session_timeout(error)
        if is_away:
            logger.exception("execution.not_settled", extra={"execution_id": str(started.execution_id)})
            return
        if pending.effects is None:
            raise
        # The effects are the processor's code: their failure fails the attempt.
        retries = policy.retry_policy(started, registry.get(started.kind))
        failure = policy.failure_of(error, started, retries)
        settle_with_effects(PendingSettlement(with_costs_of(settlement, failure)), started)
        return
    if not settled:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})


def settle_with_logs(settlements: Sequence[Settlement], logs: Sequence[LogBuffer]) -> None:
    """Settle the executions of a message together with their log lines.

    If that fails, write and settle separately. A reader that sees a job ended finds its log complete.
    """
    if settlements and not connection.in_atomic_block and any(log.waiting_since for log in logs):
        try:
            with drained(logs, wait_seconds=END_SECONDS) as write:
                settled = settle_executions(settlements, before=write)
        except Exception:
            # One of the two spoils the transaction, or the database is unavailable: the code below separates them.
            logger.warning("message.not_settled_with_its_logs", exc_info=True)
        else:
            _note_superseded(settlements, settled)
            return
    write_buffers(logs, wait_seconds=END_SECONDS)
    settle_together(settlements)


def settle_together(settlements: Sequence[Settlement], *, before: Callable[[], object] | None = None) -> None:
    """Settle the executions of a message in one statement; if one of them makes it fail, each in its own statement.

    ``before`` runs in the same transaction as the one statement.
    """
    try:
        settled = retry_on_disconnect(
            lambda: settle_executions(settlements, before=before), give_up_after_seconds=SETTLE_PATIENCE_SECONDS
        )
    except CONNECTION_ERRORS:
        logger.exception("message.not_settled", extra={"executions": len(settlements)})
        return
    except Exception:
        logger.exception("message.not_settled", extra={"executions": len(settlements)})
        if len(settlements) > 1:
            for settlement in settlements:
                settle_together([settlement])
        return
    _note_superseded(settlements, settled)


def _note_superseded(settlements: Sequence[Settlement], settled: Sequence[SettledExecution]) -> None:
    if len(settled) < len(settlements):
        logger.warning("message.superseded", extra={"executions": len(settlements) - len(settled)})
