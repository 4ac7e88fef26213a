"""The key of JOBS_PLATFORM that the storage of workflow runs reads."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    # Where a value stands in its row, a page of the list of nodes reads it; beyond, PostgreSQL would keep it apart.
    PlatformSetting("WORKFLOW_INLINE_VALUE_BYTES", 8_192, "Bytes of JSON up to which a value stays in its row."),
)
