"""Answering from what an equal job of the tenant has computed, where the kind says that it may."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from scheduling.processors.base import Complete, JobContext, TaskProcessor
from scheduling.services.kept_results import find_result, keep_result, key_of
from scheduling.services.settlement import Settlement


class Reuse:
    """One job of a kind whose results may be reused, or of one whose may not."""

    def __init__(self, kind: type[TaskProcessor], context: JobContext) -> None:
        self._kind = kind
        self._context = context
        self._key: UUID | None = None

    def find(self) -> Complete | None:
        """What an equal job has answered; None where this one has to work."""
        context = self._context
        if not self._kind.result_kept_seconds:
            return None
        self._key = key_of(self._kind, tenant_id=context.tenant_id, payload=context.payload, settings=context.settings)
        # Who has begun goes on: what it has stored so far may be of a part of its work.
        found = None if context.state else find_result(tenant_id=context.tenant_id, key=self._key)
        if found is None:
            return None
        self._key = None
        context.log("result_reused", job=str(found.job_id))
        return Complete(found.result)

    def kept(self, settlement: Settlement) -> Settlement:
        """The settlement of the job's own answer, which from then on answers others if it completes the job."""
        if self._key is not None:
            self._context.in_settlement(partial(keep_result, self._kind, key=self._key, job_id=self._context.job_id))
        return settlement
