"""The hint that the dispatcher sends: begin these executions if the token is still theirs."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from billiard import current_process
from celery import shared_task
from celery.exceptions import Reject

from scheduling.conf import EXECUTE_TASK, MAX_MESSAGE_JOBS
from scheduling.worker.execution import execute as execute_message
from scheduling.worker.foreign import PlatformTask
from scheduling.worker.registration import local_worker

logger = logging.getLogger(__name__)


@shared_task(base=PlatformTask, name=EXECUTE_TASK)
def execute(*args: Any, **kwargs: Any) -> None:
    """Run the executions that a message names: ``(execution_ids, token)``.

    A worker accepts no message without the platform's signature. One that is sent again, or late, does nothing: the
    arguments mean nothing beyond ids, and an execution begins once, by its token.
    """
    hint = read_hint(args, kwargs)
    if hint is None:
        logger.warning("message.malformed")
        return
    worker = local_worker()
    if worker.block.is_stopping:
        raise Reject("the worker stops", requeue=True)
    execution_ids, token = hint
    execute_message(execution_ids=execution_ids, token=token, child_index=current_process().index, worker=worker)


def read_hint(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[UUID], UUID] | None:
    """The ids and the token of a message; None for anything that the dispatcher does not send."""
    match args:
        case ([*texts], str(token)) if not kwargs and 0 < len(texts) <= MAX_MESSAGE_JOBS:
            ids = [_uuid(text) for text in texts]
            token_id = _uuid(token)
            if token_id is None or None in ids:
                return None
            return [id_ for id_ in ids if id_ is not None], token_id
    return None


def _uuid(text: Any) -> UUID | None:
    if not isinstance(text, str):
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
