"""How many files one batch may hold: one function, asked at upload and again at run."""

from __future__ import annotations

from scheduling.processors.retrieval.exceptions import BatchTooLargeError
from tenants.models import Tenant
from tenants.selectors.tenants import plan_limit

FILES_PER_BATCH = "document_indexing.files_per_batch"
# For a plan that sets no limit: as many as the smallest plan that the platform begins with.
DEFAULT_FILES_PER_BATCH = 5


def files_allowed(tenant: Tenant) -> int:
    """How many files the tenant's plan of the moment allows in one batch."""
    limit = plan_limit(tenant, FILES_PER_BATCH)
    return DEFAULT_FILES_PER_BATCH if limit is None else limit


def check_batch_limit(tenant: Tenant, files: int) -> None:
    """Raise BatchTooLargeError when the plan of the moment allows fewer files than ``files``."""
    allowed = files_allowed(tenant)
    if files > allowed:
        raise BatchTooLargeError(f"The batch has {files} files; the plan allows {allowed}.")
