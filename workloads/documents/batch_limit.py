"""The limit on the number of files in one batch. It is checked at upload, and again when a job runs."""

from __future__ import annotations

from tenants.limits.declared import LimitReached
from tenants.limits.usage import allowed_for
from tenants.models import Tenant
from workloads.documents.exceptions import BatchTooLargeError
from workloads.documents.limits import FILES_PER_BATCH


def files_allowed(tenant: Tenant) -> int:
    """Return how many files the tenant may upload in one batch now. Call it in the tenant's scope."""
    allowed = allowed_for(tenant.pk, FILES_PER_BATCH)
    assert allowed is not None  # it has a default
    return allowed


def check_batch_limit(tenant: Tenant, files: int) -> None:
    """Raise `BatchTooLargeError` if a batch of ``files`` files is larger than the tenant is allowed now."""
    allowed = files_allowed(tenant)
    if files > allowed:
        limit = LimitReached(FILES_PER_BATCH.key, FILES_PER_BATCH.unit, allowed, files)
        raise BatchTooLargeError(
            "The batch has %(files)s files; the plan allows %(allowed)s.",
            {"files": files, "allowed": allowed},
            limit=limit,
        )
