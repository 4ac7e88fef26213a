"""The keys of JOBS_PLATFORM that configure the operator's chat endpoint, and the currency of prices."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting("LLM_API_URL", "", "Base URL of the chat endpoint for tenants without one of their own."),
    PlatformSetting("LLM_API_KEY", "", "Key of the chat endpoint."),
    PlatformSetting("LLM_MODEL", "", "The model for nodes that name none, of tenants without a default model."),
    PlatformSetting("MODEL_CURRENCY", "USD", "Currency of the prices of models, as pages and the API name it."),
)
