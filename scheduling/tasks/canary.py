"""A worker's message to itself: that it was read is all it says."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from scheduling.conf import CANARY_TASK
from scheduling.worker.foreign import PlatformTask
from scheduling.worker.registration import local_worker


@shared_task(base=PlatformTask, name=CANARY_TASK)
def canary(*args: Any, **kwargs: Any) -> None:
    """Note in the worker's shared memory that a child has read canary number ``args[0]``; a stranger's says nothing."""
    match args:
        case (int(number),) if not kwargs:
            local_worker().block.answer_canary(number)
