"""The keys of JOBS_PLATFORM that the tenants app and its database layer read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    # Servers
    PlatformSetting("DATABASE_PLATFORM_ROLE", "jobs_platform", "The database role that sees the rows of all tenants."),
    PlatformSetting(
        "DATABASE_AUDITOR_ROLE", "jobs_auditor", "The only login role that seals and prunes the audit log."
    ),
    PlatformSetting(
        "DATABASE_BACKUP_URL",
        "",
        "The login that backups read with, from which row security hides nothing; empty: no backups.",
    ),
    # Port 9 is "discard": nothing answers there.
    PlatformSetting("REDIS_URL", "redis://127.0.0.1:9/0", "The Redis or Valkey server that is the broker."),
    PlatformSetting(
        "IS_SECRET_KEY_GIVEN",
        default=True,
        help_text="Whether SECRET_KEY is the same in all processes; if False, no process starts to serve.",
        has_variable=False,
    ),
    PlatformSetting(
        "CONFIGURATION_CACHE_SECONDS",
        0.4,
        "How long the process and Redis each cache configuration (limits, routes, tenant settings). A change "
        "takes effect in every process after twice this time and one response of Redis, which must be less than "
        "a second.",
        minimum=0,
        has_variable=False,
    ),
    PlatformSetting(
        "SITE_ROLE",
        "active",
        "`standby`: the database is a standby of another site; this one serves reads and starts no work.",
        choices=("active", "standby"),
    ),
    # Web
    PlatformSetting("TRUSTED_PROXY_HOPS", 0, "Number of trusted proxies that add to X-Forwarded-For.", minimum=0),
    PlatformSetting(
        "LOGIN_ACCOUNT_FAILURE_LIMIT", 20, "Wrong passwords for one name until the name is locked out; 0: no limit."
    ),
    PlatformSetting(
        "LOGIN_ACCOUNT_LOCKOUT_SECONDS",
        300,
        "The period in which wrong passwords are counted; at most AXES_COOLOFF_TIME.",
    ),
    PlatformSetting(
        "WRONG_KEYS_PER_MINUTE", 60, "Wrong API keys from one address in a minute until it is refused; 0: no limit."
    ),
    PlatformSetting("API_KEY_DEFAULT_DAYS", 90, "Lifetime of an API key in days if its issuer sets no end."),
    PlatformSetting("API_KEY_MAX_DAYS", 365, "Maximum lifetime of an API key in days."),
    PlatformSetting(
        "APPROVAL_MAILS",
        default=True,
        help_text="Whether requests of approval are mailed to their approvers, and decisions to who asked.",
    ),
    PlatformSetting("SESSION_IDLE_SECONDS", 7_200, "A session ends after this time without a request of its user."),
    PlatformSetting("OIDC_ISSUER", "", "Issuer of the OpenID Connect provider for sign-in; empty: none is offered."),
    PlatformSetting("OIDC_NAME", "OpenID Connect", "The name of the OpenID Connect provider on the log-in page."),
    PlatformSetting(
        "SECOND_FACTOR_ROLES",
        [],
        "Roles of tenants and of the platform whose accounts must have a second factor, such as `admin`.",
    ),
    PlatformSetting(
        "STEP_UP_SECONDS", 300, "Age of a second factor from which revealing, erasing, keys and plans need a fresh one."
    ),
    PlatformSetting(
        "BREAK_GLASS_ACCOUNTS", [], "Names of local accounts for emergencies; each log-in of one fires an alert."
    ),
    PlatformSetting(
        "DEVICE_COOKIE_NAME", "device", "The cookie of browsers that have logged in before.", has_variable=False
    ),
    # Units a minute, and units at once.
    PlatformSetting("KEY_REQUEST_RATE", (600, 120), "Maximum cost of one API key's requests."),
    PlatformSetting("SESSION_REQUEST_RATE", (1200, 240), "Maximum cost of one person's requests."),
    PlatformSetting("TENANT_REQUEST_RATE", (3000, 600), "Maximum cost of all requests of one tenant."),
    PlatformSetting("ANONYMOUS_REQUEST_RATE", (60, 60), "Maximum cost of one address's requests without credentials."),
    PlatformSetting("WAITS_PER_PROCESS", 2, "Concurrent long polls of one web process.", minimum=0),
    PlatformSetting(
        "RECEIVE_GRACE_SECONDS",
        60.0,
        "Seconds for a request's head and body, in addition to the time at the minimum rate.",
    ),
    PlatformSetting(
        "BODY_SPACE_BYTES",
        4 * 1024**3,
        "Bytes in temporary files for the bodies that a web process receives concurrently.",
    ),
    # Plans
    PlatformSetting(
        "TENANT_ISOLATED_TASK_CONCURRENCY", 2, "Jobs of one tenant that may run at once if its plan sets no number."
    ),
    # Audit
    PlatformSetting("AUDIT_SIGNING_KEY", "", "Ed25519 key that signs the audit log's heads; empty: from SECRET_KEY."),
    PlatformSetting("AUDIT_PUBLIC_KEYS", [], "Public keys that verify the audit log's heads."),
    PlatformSetting(
        "AUDIT_MINIMUM_DAYS", 400, "The auditor prunes no entry that was sealed within this number of days."
    ),
    PlatformSetting("ERASURE_GRACE_SECONDS", 604_800, "How long the erasure of a tenant can be cancelled."),
    PlatformSetting(
        "ENCRYPTION_MASTER_KEYS",
        [],
        "Keys that wrap the data keys of tenants: 32 bytes in base64, or PROVIDER:REFERENCE; the first wraps.",
    ),
    PlatformSetting(
        "ENCRYPTION_VAULT_TOKEN_FILE", "", "File with the token for master keys in Vault; it is read at each call."
    ),
)
