"""The counter of the bytes that a tenant stores."""

from __future__ import annotations

from tenants.limits.recounts import StoredCounter
from workloads.files.limits import STORAGE_BYTES

STORAGE_COUNTER = StoredCounter(STORAGE_BYTES, "files_content", "sum(size_bytes)")
