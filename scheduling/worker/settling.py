"""Verdicts come true: one with its effects, or those of a whole message in one statement."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from scheduling.exceptions import FenceLostError
from scheduling.processors import registry
from scheduling.services.execution import StartedExecution
from scheduling.services.settlement import Settlement
from scheduling.services.settlement import settle as settle_executions
from scheduling.worker import policy
from scheduling.worker.connections import CONNECTION_ERRORS, persistently
from scheduling.worker.performing import Verdict, with_costs_of

logger = logging.getLogger(__name__)

# Work that is done waits this long for a database that is away; then the lease decides.
SETTLE_PATIENCE_SECONDS = 60.0


def settle(verdict: Verdict, started: StartedExecution) -> None:
    """Make the verdict true, with its effects or not at all."""
    if verdict.settlement is None:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
        return
    settlement = verdict.settlement
    try:
        settled = persistently(
            lambda: settle_executions([settlement], effects=verdict.effects),
            give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
        )
    except FenceLostError:
        settled = []
    except CONNECTION_ERRORS:
        logger.exception("execution.not_settled", extra={"execution_id": str(started.execution_id)})
        return
    except Exception as error:
        if verdict.effects is None:
            raise
        # The effects are the processor's own code: their failure is the attempt's.
        retries = policy.retry_policy(started, registry.get(started.kind))
        failure = policy.failure_of(error, started, retries)
        settle(Verdict(with_costs_of(settlement, failure)), started)
        return
    if not settled:
        logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})


def settle_together(settlements: Sequence[Settlement]) -> None:
    """Settle what travelled in one message: one statement, or one each where one of them spoils it for the others."""
    try:
        settled = persistently(lambda: settle_executions(settlements), give_up_after_seconds=SETTLE_PATIENCE_SECONDS)
    except CONNECTION_ERRORS:
        logger.exception("message.not_settled", extra={"executions": len(settlements)})
        return
    except Exception:
        logger.exception("message.not_settled", extra={"executions": len(settlements)})
        if len(settlements) > 1:
            for settlement in settlements:
                settle_together([settlement])
        return
    if len(settled) < len(settlements):
        logger.warning("message.superseded", extra={"executions": len(settlements) - len(settled)})
