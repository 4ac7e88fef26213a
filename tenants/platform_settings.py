"""The keys of JOBS_PLATFORM that tenants and its database layer read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    # Servers
    PlatformSetting("DATABASE_PLATFORM_ROLE", "jobs_platform", "The database role that sees the rows of all tenants."),
    PlatformSetting(
        "DATABASE_AUDITOR_ROLE", "jobs_auditor", "The login role that alone seals and prunes the audit log."
    ),
    # Port 9 is "discard": nothing answers there.
    PlatformSetting("REDIS_URL", "redis://127.0.0.1:9/0", "The Redis or Valkey server that is the broker."),
    PlatformSetting(
        "IS_SECRET_KEY_GIVEN",
        default=True,
        help_text="Whether SECRET_KEY is the same in all processes; with False none starts to serve.",
        has_variable=False,
    ),
    PlatformSetting(
        "CONFIGURATION_CACHE_SECONDS",
        0.4,
        "How long the process and Redis each cache configuration (limits, routes, tenant settings). A change takes"
        " effect in every process after twice this time and one answer of Redis, which must be less than a second.",
        minimum=0,
        has_variable=False,
    ),
    # Web
    PlatformSetting("TRUSTED_PROXY_HOPS", 0, "How many proxies in front add to X-Forwarded-For.", minimum=0),
    PlatformSetting(
        "LOGIN_ACCOUNT_FAILURE_LIMIT", 20, "Wrong passwords for one name until the name is locked out; 0: no limit."
    ),
    PlatformSetting(
        "LOGIN_ACCOUNT_LOCKOUT_SECONDS",
        300,
        "The time in which these are counted and after which they are forgotten; AXES_COOLOFF_TIME at most.",
    ),
    PlatformSetting(
        "WRONG_KEYS_PER_MINUTE", 60, "Wrong API keys from one address in a minute until it is refused; 0: no limit."
    ),
    PlatformSetting("API_KEY_DEFAULT_DAYS", 90, "Days that an API key lasts if its issuer names no other time."),
    PlatformSetting("API_KEY_MAX_DAYS", 365, "The latest end that an issuer can name, in days from now."),
    PlatformSetting("SESSION_IDLE_SECONDS", 7_200, "A session ends after this time without a request of its user."),
    PlatformSetting(
        "DEVICE_COOKIE_NAME", "device", "The cookie of browsers that have logged in before.", has_variable=False
    ),
    # Units a minute, and units at once.
    PlatformSetting("KEY_REQUEST_RATE", (600, 120), "What the requests of one API key may cost."),
    PlatformSetting("SESSION_REQUEST_RATE", (1200, 240), "What the requests of one person may cost."),
    PlatformSetting("TENANT_REQUEST_RATE", (3000, 600), "What all requests of one tenant may cost."),
    PlatformSetting(
        "ANONYMOUS_REQUEST_RATE", (60, 60), "What the requests of one address without credentials may cost."
    ),
    PlatformSetting("WAITS_PER_PROCESS", 2, "Long polls that one web process holds at once.", minimum=0),
    PlatformSetting(
        "RECEIVE_GRACE_SECONDS", 60.0, "Seconds for a request's head and body beside the time at the least rate."
    ),
    PlatformSetting(
        "BODY_SPACE_BYTES", 4 * 1024**3, "Bytes for the bodies that a web process receives at once, in temporary files."
    ),
    # Plans
    PlatformSetting(
        "TENANT_ISOLATED_TASK_CONCURRENCY", 2, "Jobs of one tenant that run at once where its plan does not say."
    ),
    # Audit
    PlatformSetting("AUDIT_SIGNING_KEY", "", "Ed25519 key that signs the audit log's heads; empty: from SECRET_KEY."),
    PlatformSetting("AUDIT_PUBLIC_KEYS", [], "Public keys that verify the audit log's heads."),
    PlatformSetting("AUDIT_MINIMUM_DAYS", 400, "The auditor prunes no entry that was sealed fewer days ago."),
    PlatformSetting("ERASURE_GRACE_SECONDS", 604_800, "How long the erasure of a tenant can be cancelled."),
    PlatformSetting(
        "ENCRYPTION_MASTER_KEYS", [], "Keys of 32 bytes in base64 that wrap the data keys of tenants; the first wraps."
    ),
)
