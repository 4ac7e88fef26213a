"""The proof of an erasure: the numbers before, removed and after; and a recount at any later time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tenants.context import all_tenants
from tenants.database.reads import first_or_raise
from tenants.erasure.catalog import count_rows
from tenants.erasure.erasers import count_outside
from tenants.exceptions import ErasureNotFoundError
from tenants.models import ErasureStatus, TenantErasure


@dataclass(frozen=True, slots=True)
class ErasureVerification:
    """The result of a recount; `left` has the numbers of rows and things that still exist and should not."""

    erasure: TenantErasure
    left: Mapping[str, int]
    is_proof_intact: bool

    @property
    def is_good(self) -> bool:
        return self.erasure.status == ErasureStatus.COMPLETED and not self.left and self.is_proof_intact


def build_proof(erasure: TenantErasure) -> dict[str, Any]:
    """Return the proof: the requester, the reason, the times, and three counts for each table and other kind of data.

    The counts are what there was before, what was removed, and what is left.
    """
    names = sorted({*erasure.before, *erasure.removed, *erasure.after})
    return {
        "erasure": str(erasure.pk),
        "subject_id": str(erasure.subject_id),
        "slug_sha256": erasure.slug_sha256,
        "requested_by": erasure.requested_by,
        "reason": erasure.reason,
        "requested_at": erasure.requested_at.isoformat(),
        "started_at": erasure.started_at.isoformat() if erasure.started_at else None,
        "finished_at": erasure.finished_at.isoformat() if erasure.finished_at else None,
        "counts": {
            name: {
                "before": erasure.before.get(name, 0),
                "removed": erasure.removed.get(name, 0),
                "after": erasure.after.get(name, 0),
            }
            for name in names
        },
    }


def hash_proof(proof: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the proof, encoded as canonical JSON."""
    text = json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def verify_erasure(*, erasure_id: UUID) -> ErasureVerification:
    """Count again what is left of the erased tenant, and compare the stored proof with its hash.

    Raise `ErasureNotFoundError` if there is no such erasure.
    """
    with all_tenants():
        erasure = first_or_raise(TenantErasure.objects.filter(pk=erasure_id), ErasureNotFoundError)
        counts = {**count_rows(erasure.subject_id), **count_outside(erasure.subject_id)}
    left = {name: number for name, number in counts.items() if number}
    is_intact = erasure.proof is not None and hash_proof(erasure.proof) == erasure.proof_sha256
    return ErasureVerification(erasure, left, is_intact)


def find_erasure(*, erasure_id: UUID | None = None, subject_id: UUID | None = None) -> TenantErasure:
    """Return the erasure with that id, or the newest erasure of a tenant if `subject_id` is given.

    Raise `ErasureNotFoundError` if there is none.
    """
    wanted = {"pk": erasure_id} if subject_id is None else {"subject_id": subject_id}
    with all_tenants():
        erasure = TenantErasure.objects.filter(**wanted).order_by("-pk").first()
    if erasure is None:
        raise ErasureNotFoundError
    return erasure
