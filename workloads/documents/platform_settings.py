"""The keys of JOBS_PLATFORM that documents and their search read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting(
        "EMBEDDING_PROVIDER", "local", "The embedding provider: `local` on the CPU, or `openai`, an endpoint."
    ),
    PlatformSetting("EMBEDDING_API_URL", "", "Base URL of the embedding endpoint."),
    PlatformSetting("EMBEDDING_API_KEY", "", "Key of the embedding endpoint."),
    PlatformSetting("EMBEDDING_MODEL", "", "Model of the embedding endpoint."),
    PlatformSetting("EMBEDDING_DIMENSIONS", 512, "Dimensions of the endpoint's vectors; 0: the endpoint decides."),
    PlatformSetting("RERANK_URL", "", "URL of an endpoint that re-ranks the results of searches; empty: none."),
    PlatformSetting("RERANK_KEY", "", "Key of the re-ranking endpoint."),
    PlatformSetting("RERANK_MODEL", "", "Model of the re-ranking endpoint; empty: it has one only."),
    # On two busy cores this many took 0.35 s by vector (512 dimensions) and 0.5 s by words; an approximate index loses
    # recall and is worth it only beyond.
    PlatformSetting(
        "EXACT_SEARCH_MAX_CHUNKS",
        100_000,
        "Maximum number of chunks of a dataset that is searched exactly, without an index.",
    ),
)
