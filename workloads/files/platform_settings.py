"""The keys of JOBS_PLATFORM that files read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting("FILE_CACHE_DIR", "", "Folder of this machine with copies of files that jobs read; empty: none."),
    PlatformSetting("FILE_CACHE_MIB", 1_024, "Space for these copies in MiB.", minimum=16, maximum=16 * 1_024 * 1_024),
)
