"""The keys of JOBS_PLATFORM that documents and their search read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting("EMBEDDING_PROVIDER", "local", "What embeds texts: `local` on the CPU, or `openai`, an endpoint."),
    PlatformSetting("EMBEDDING_API_URL", "", "Base URL of that endpoint."),
    PlatformSetting("EMBEDDING_API_KEY", "", "Its key."),
    PlatformSetting("EMBEDDING_MODEL", "", "The name of its model."),
    PlatformSetting("EMBEDDING_DIMENSIONS", 512, "Numbers that a vector of it has; 0: the endpoint decides."),
    # On two busy cores this many took 0.35 s by vector (512 dimensions) and 0.5 s by words; an approximate index loses
    # recall and is worth it only beyond.
    PlatformSetting("EXACT_SEARCH_MAX_CHUNKS", 100_000, "Chunks of a dataset up to which it is searched exactly."),
)
