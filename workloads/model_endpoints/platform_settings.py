"""The keys of JOBS_PLATFORM that name the chat endpoint of the operator."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting("LLM_API_URL", "", "Base URL of the chat endpoint for tenants that name none of their own."),
    PlatformSetting("LLM_API_KEY", "", "Its key."),
    PlatformSetting("LLM_MODEL", "", "The model that is used where a node names none."),
)
