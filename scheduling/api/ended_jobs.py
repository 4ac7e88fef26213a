"""Answers about ended jobs, which do not change any more, kept in the memory of one process.

Callers look here after the rights check. People of the platform are never answered from here: each of their reads
leaves an audit entry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from scheduling.api.serializers.jobs import Reveals
from scheduling.models import Job
from tenants.access import Access
from tenants.bounded_cache import BoundedCache

MAX_PAYLOAD_BYTES: Final = 4 * 1024
MAX_ANSWER_CHARACTERS: Final = 16 * 1024
# A job that upkeep has pruned may be answered for so long.
KEPT_SECONDS: Final = 60.0

_kept: BoundedCache[tuple[UUID, UUID, Reveals], JobAnswer] = BoundedCache(most=500, seconds=KEPT_SECONDS)


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """The representation of a job, and its ETag."""

    tag: str
    shown: dict[str, Any]


def find_answer(access: Access, job_id: UUID, *, reveals: Reveals) -> JobAnswer | None:
    """Return the kept answer about a job of the caller's own tenant; None if none is kept."""
    tenant_id = access.own_tenant_id
    return None if tenant_id is None else _kept.get((tenant_id, job_id, reveals))


def keep_answer(access: Access, job: Job, answer: JobAnswer, *, reveals: Reveals) -> None:
    """Keep the answer about a small ended job of the caller's own tenant.

    The name of a schedule can change, so a job of a schedule is not kept.
    """
    tenant_id = access.own_tenant_id
    if tenant_id is None or tenant_id != job.tenant_id or not job.is_terminal or answer.shown["schedule"] is not None:
        return
    if job.payload_bytes > MAX_PAYLOAD_BYTES or len(json.dumps(answer.shown, default=str)) > MAX_ANSWER_CHARACTERS:
        return
    _kept.put((tenant_id, job.id, reveals), answer)


def clear() -> None:
    """Remove every kept answer; for tests."""
    _kept.clear()
