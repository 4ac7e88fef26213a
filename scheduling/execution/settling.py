"""Settlement of the executions of a merged message: in one statement, together with their log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import connection

from scheduling.execution.logs.buffer import LogBuffer, drained, write_buffers
from scheduling.execution.logs.job_log import END_SECONDS
from scheduling.execution.processing import SETTLE_PATIENCE_SECONDS
from scheduling.execution.settlement import SettledExecution, Settlement
from scheduling.execution.settlement import settle as settle_executions
from scheduling.worker.process_state import CONNECTION_ERRORS, retry_on_disconnect

logger = logging.getLogger(__name__)


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
