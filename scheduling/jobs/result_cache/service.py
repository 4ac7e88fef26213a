"""Reuse of results: a job completes with the stored result of an equal job instead of running."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Complete, JobContext, TaskProcessor
from scheduling.models import Job, ResultCacheEntry
from tenants.context import require_tenant_id, tenant_context
from tenants.encryption.fields import SealedValueBrokenError, digest_of, sealed_field
from tenants.signals import cache_asked

logger = logging.getLogger(__name__)

CACHE = "results"


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A reusable result, and the job that computed it."""

    job_id: UUID
    result: Any


def cache_key(
    kind: type[TaskProcessor], *, tenant_id: UUID, payload: Mapping[str, Any], settings: Mapping[str, Any]
) -> UUID:
    """Return the key under which a result is reused: equal for equal tenant, kind, version, payload and settings."""
    about = [str(tenant_id), kind.kind, kind.result_version, payload, settings]
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), default=str)
    plain = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return UUID(bytes=digest_of(tenant_id, plain)[:16])


def find_cached_result(*, tenant_id: UUID, key: UUID) -> CachedResult | None:
    """Return the unexpired result stored under the key, or None."""
    with tenant_context(tenant_id):
        kept = ResultCacheEntry.objects.filter(pk=key, expires_at__gt=Now()).values_list("job_id", flat=True)
        row = Job.objects.filter(pk__in=kept, state=JobState.COMPLETED).values_list("pk", "result").first()
        cache_asked.send(None, cache=CACHE, place="computed" if row is None else "reused", count=1)
        if row is None:
            return None
        job_id, result = row
        try:
            return CachedResult(job_id, sealed_field(Job, "result").open(result, tenant_id=tenant_id, row_id=job_id))
        except SealedValueBrokenError:
            # A result that was tampered with is not reused: compute it again.
            logger.exception("cached_result.broken", extra={"job_id": str(job_id)})
            return None


def cache_result(kind: type[TaskProcessor], *, key: UUID, job_id: UUID) -> None:
    """Let later jobs with the same key reuse this job's result, for ``result_kept_seconds``.

    Call it in the transaction that settles the job as completed.
    """
    row = ResultCacheEntry(
        id=key,
        tenant_id=require_tenant_id(),
        kind=kind.kind,
        job_id=job_id,
        expires_at=Now() + timedelta(seconds=kind.result_kept_seconds),
    )
    ResultCacheEntry.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["id"], update_fields=["job_id", "expires_at"]
    )


class ResultCache:
    """The reuse of results for one running job, whose kind allows it."""

    def __init__(self, kind: type[TaskProcessor], context: JobContext) -> None:
        self._kind = kind
        self._context = context
        self._key: UUID | None = None

    def find(self) -> Complete | None:
        """Return the completion with the stored result of an equal job; None if this job has to run."""
        context = self._context
        self._key = cache_key(
            self._kind, tenant_id=context.tenant_id, payload=context.payload, settings=context.settings
        )
        # A job that has begun continues: its state may be of a part of its work.
        found = None if context.state else find_cached_result(tenant_id=context.tenant_id, key=self._key)
        if found is None:
            return None
        self._key = None
        context.log("result_reused", job=str(found.job_id))
        return Complete(found.result)

    def kept(self, settlement: Settlement) -> Settlement:
        """Return the settlement, after registering its result for reuse.

        The result becomes reusable when the settlement completes the job.
        """
        if self._key is not None:
            self._context.in_settlement(partial(cache_result, self._kind, key=self._key, job_id=self._context.job_id))
        return settlement
