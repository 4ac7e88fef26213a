"""Results that answer equal jobs of the same tenant, for kinds that say that theirs may.

Kept is only who has the result: it stays with its job, is masked, kept and erased with it, and where the job is gone
it is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from scheduling.lifecycle import JobState
from scheduling.models import Job, KeptResult
from scheduling.processors.base import TaskProcessor
from tenants.context import require_tenant_id, tenant_context
from tenants.encryption.data_keys import digest_of
from tenants.encryption.fields import SealedValueBrokenError, sealed_field
from tenants.signals import cache_asked

logger = logging.getLogger(__name__)

CACHE = "results"


@dataclass(frozen=True, slots=True)
class Found:
    """A result, and the job that has computed it."""

    job_id: UUID
    result: Any


def key_of(
    kind: type[TaskProcessor], *, tenant_id: UUID, payload: Mapping[str, Any], settings: Mapping[str, Any]
) -> UUID:
    """Equal for jobs that have the same result."""
    about = [str(tenant_id), kind.kind, kind.result_version, payload, settings]
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), default=str)
    plain = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return UUID(bytes=digest_of(tenant_id, plain)[:16])


def find_result(*, tenant_id: UUID, key: UUID) -> Found | None:
    """What a job of the tenant has computed, as long as that is kept."""
    with tenant_context(tenant_id):
        kept = KeptResult.objects.filter(pk=key, expires_at__gt=Now()).values_list("job_id", flat=True)
        row = Job.objects.filter(pk__in=kept, state=JobState.COMPLETED).values_list("pk", "result").first()
        cache_asked.send(None, cache=CACHE, place="computed" if row is None else "reused", count=1)
        if row is None:
            return None
        job_id, result = row
        try:
            return Found(job_id, sealed_field(Job, "result").open(result, tenant_id=tenant_id, row_id=job_id))
        except SealedValueBrokenError:
            # What somebody has changed answers nobody: it is computed again.
            logger.exception("kept_result.broken", extra={"job_id": str(job_id)})
            return None


def keep_result(kind: type[TaskProcessor], *, key: UUID, job_id: UUID) -> None:
    """Effect of a settlement: from now on the job's result answers equal jobs."""
    row = KeptResult(
        id=key,
        tenant_id=require_tenant_id(),
        kind=kind.kind,
        job_id=job_id,
        expires_at=Now() + timedelta(seconds=kind.result_kept_seconds),
    )
    KeptResult.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["id"], update_fields=["job_id", "expires_at"]
    )
