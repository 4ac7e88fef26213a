"""Every environment variable that the platform reads: its type and its default.

`env.scheme` is the one list. docs/reference/configuration.md and .env.example are held to it by a test.
"""

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# Port 9 is "discard": without an environment the settings import, and nothing answers there.
NOWHERE_DATABASE_URL = "postgres://jobs_app@127.0.0.1:9/jobs"
NOWHERE_REDIS_URL = "redis://127.0.0.1:9/0"

env = environ.Env(
    # Servers
    DATABASE_URL=(str, NOWHERE_DATABASE_URL),
    DATABASE_OWNER_URL=(str, ""),
    DATABASE_PLATFORM_ROLE=(str, "jobs_platform"),
    DATABASE_AUDITOR_URL=(str, ""),
    DATABASE_AUDITOR_ROLE=(str, "jobs_auditor"),
    DATABASE_POOLED=(bool, False),
    REDIS_URL=(str, NOWHERE_REDIS_URL),
    REDIS_ROLE_URLS=(dict, {}),
    CACHE_URL=(str, ""),
    # Web
    SECRET_KEY=(str, ""),
    SECRET_KEY_FALLBACKS=(list, []),
    DEBUG=(bool, False),
    ALLOWED_HOSTS=(list, ["localhost", "127.0.0.1", "[::1]"]),
    CSRF_TRUSTED_ORIGINS=(list, []),
    HTTPS_ONLY=(bool, False),
    TRUSTED_PROXY_HOPS=(int, 0),
    LOGIN_FAILURE_LIMIT=(int, 5),
    LOGIN_LOCKOUT_SECONDS=(int, 900),
    LOGIN_ACCOUNT_FAILURE_LIMIT=(int, 20),
    LOGIN_ACCOUNT_LOCKOUT_SECONDS=(int, 300),
    WRONG_KEYS_PER_MINUTE=(int, 60),
    API_KEY_DEFAULT_DAYS=(int, 90),
    API_KEY_MAX_DAYS=(int, 365),
    SESSION_MAX_SECONDS=(int, 43_200),
    SESSION_IDLE_SECONDS=(int, 7_200),
    KEY_REQUEST_RATE=(str, "600/120"),
    SESSION_REQUEST_RATE=(str, "1200/240"),
    TENANT_REQUEST_RATE=(str, "3000/600"),
    ANONYMOUS_REQUEST_RATE=(str, "60/60"),
    WAITS_PER_PROCESS=(int, 2),
    STREAMS_PER_PROCESS=(int, 500),
    STREAMS_PER_CALLER=(int, 20),
    EMAIL_HOST=(str, ""),
    EMAIL_PORT=(int, 587),
    EMAIL_HOST_USER=(str, ""),
    EMAIL_HOST_PASSWORD=(str, ""),
    EMAIL_USE_TLS=(bool, True),
    DEFAULT_FROM_EMAIL=(str, "jobs@localhost"),
    COLLECTED_STATIC=(bool, False),
    IMAGE=(str, ""),
    FILES_ROOT=(str, "var/files"),
    FILES_STORAGE=(str, ""),
    FILES_STORAGE_OPTIONS=(str, ""),
    RECEIVE_GRACE_SECONDS=(float, 60.0),
    BODY_SPACE_BYTES=(int, 4 * 1024 * 1024 * 1024),
    # Scheduling
    EDITION=(str, "cloud"),
    TENANT_ISOLATED_TASK_CONCURRENCY=(int, 2),
    AGEING_SECONDS=(int, 60),
    DIAGNOSTIC_KINDS=(bool, False),
    DISPATCH_INTERVAL_SECONDS=(float, 0.25),
    REPUBLISH_AFTER_SECONDS=(float, 15.0),
    DATA_KEY_MISSING_HOURS=(float, 0.0),
    LEASE_SECONDS=(float, 10.0),
    HEARTBEAT_SECONDS=(float, 2.5),
    SWEEP_SECONDS=(float, 1.0),
    CIRCUIT_FAILURES=(int, 10),
    CIRCUIT_WINDOW_SECONDS=(float, 60.0),
    CIRCUIT_COOL_DOWN_SECONDS=(float, 30.0),
    # Audit
    AUDIT_SIGNING_KEY=(str, ""),
    AUDIT_PUBLIC_KEYS=(list, []),
    AUDIT_MINIMUM_DAYS=(int, 400),
    ERASURE_GRACE_SECONDS=(int, 604_800),
    ENCRYPTION_MASTER_KEYS=(list, []),
    WORKER_SPARE_CHILDREN=(int, 1),
    CANARY_INTERVAL_SECONDS=(float, 5.0),
    CANARY_LIMIT_SECONDS=(float, 12.0),
    WATCHDOG_SECONDS=(float, 30.0),
    HEARTBEAT_DIRECTORY=(str, ""),
    # Outgoing HTTP
    OUTGOING_HTTP_ALLOWED_HOSTS=(list, []),
    OUTGOING_HTTP_PORTS=(list, ["80", "443", "8080", "8443"]),
    # Extraction
    EXTRACTION_WITHOUT_SANDBOX=(bool, False),
    # Models
    LLM_API_URL=(str, ""),
    LLM_API_KEY=(str, ""),
    LLM_MODEL=(str, ""),
    # Search
    EMBEDDING_PROVIDER=(str, "local"),
    EMBEDDING_API_URL=(str, ""),
    EMBEDDING_API_KEY=(str, ""),
    EMBEDDING_MODEL=(str, ""),
    EMBEDDING_DIMENSIONS=(int, 512),
    EXACT_SEARCH_MAX_CHUNKS=(int, 100_000),
    # Workflow runs
    WORKFLOW_INLINE_VALUE_BYTES=(int, 8_192),
    # Pipelines
    PIPELINE_THREADS=(int, 10),
    PIPELINE_RUN_DAYS=(int, 90),
    # Observability
    METRICS_TOKEN=(str, ""),
    METRICS_PORT=(int, 0),
    METRICS_TENANTS=(int, 50),
    OTEL_EXPORTER_OTLP_ENDPOINT=(str, ""),
    TRACE_URL_TEMPLATE=(str, ""),
    LOG_LEVEL=(str, "INFO"),
    LOG_FORMAT=(str, "console"),
)

# Variables already set win over the file.
if (BASE_DIR / ".env").is_file():
    environ.Env.read_env(BASE_DIR / ".env")
