"""Declarations of the keys of the setting JOBS_PLATFORM that scheduling reads."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, PlatformSettingRule, declare

declare(
    PlatformSetting("REDIS_ROLE_URLS", {}, "The REDIS_URL that `run_platform` gives to each process, by its role."),
    PlatformSetting(
        "EDITION",
        "cloud",
        "Plan that the first migration activates.",
        choices=("cloud", "community"),
    ),
    PlatformSetting(
        "OUTBOX_REDIS_URL",
        "",
        "The Redis or Valkey server to whose streams outbox routes may send; empty: none may.",
    ),
    PlatformSetting("AGEING_SECONDS", 60, "Seconds of waiting that one step of priority is worth."),
    PlatformSetting(
        "DIAGNOSTIC_KINDS",
        default=False,
        help_text="Whether the kinds that crash, fail, spin and allocate are accepted. For tests only.",
    ),
    PlatformSetting(
        "DISPATCH_INTERVAL_SECONDS", 0.25, "Longest time between two ticks of the dispatcher without a wake-up."
    ),
    PlatformSetting(
        "REPUBLISH_AFTER_SECONDS", 15.0, "A message that no worker has started is published again after this time."
    ),
    PlatformSetting(
        "DATA_KEY_MISSING_HOURS",
        0.0,
        "Time that a job waits for a missing data key before it becomes a dead letter; 0: no limit.",
    ),
    PlatformSetting(
        "LEASE_SECONDS", 10.0, "Time after the last heartbeat for which a worker's lease of its executions is valid."
    ),
    PlatformSetting("HEARTBEAT_SECONDS", 2.5, "Time between two heartbeats of a worker.", above=0),
    PlatformSettingRule(
        "LEASE_SECONDS must be at least twice HEARTBEAT_SECONDS, or one late heartbeat loses a job.",
        lambda given: given.LEASE_SECONDS >= 2 * given.HEARTBEAT_SECONDS,
    ),
    PlatformSetting("SWEEP_SECONDS", 1.0, "Time between two sweeps for lost jobs."),
    PlatformSetting(
        "CIRCUIT_FAILURES",
        10,
        "Consecutive failures of one cause that open a circuit breaker; 0 disables breakers.",
        minimum=0,
    ),
    PlatformSetting("CIRCUIT_WINDOW_SECONDS", 60.0, "Time within which these failures are counted together.", above=0),
    PlatformSetting("CIRCUIT_COOL_DOWN_SECONDS", 30.0, "Time after which one job probes.", above=0),
    PlatformSetting("WORKER_REGION", "", "Region of this machine; a worker of a pool of another one does not start."),
    PlatformSetting("WORKER_SPARE_CHILDREN", 1, "Child processes of a worker beyond its slots.", minimum=0),
    PlatformSetting(
        "CHILD_LIMITS",
        "auto",
        "How the children of a worker are limited: as the host allows, by the process alone, or not.",
        choices=("auto", "process", "off"),
    ),
    PlatformSetting(
        "CANARY_INTERVAL_SECONDS", 5.0, "Time between two canaries that a worker sends to itself; 0 disables canaries."
    ),
    PlatformSetting(
        "CANARY_LIMIT_SECONDS", 12.0, "A worker with a free slot that leaves canaries unread for this time restarts."
    ),
    PlatformSettingRule(
        "CANARY_LIMIT_SECONDS must be at least twice CANARY_INTERVAL_SECONDS, because one canary may be lost.",
        lambda given: (
            not given.CANARY_INTERVAL_SECONDS or given.CANARY_LIMIT_SECONDS >= 2 * given.CANARY_INTERVAL_SECONDS
        ),
    ),
    PlatformSetting("ALERT_EVALUATION_SECONDS", 5.0, "Time between two evaluations of the alert rules.", 1, 60),
    PlatformSetting("WATCHDOG_SECONDS", 30.0, "A process whose loop has stalled for this time is restarted.", above=0),
    PlatformSetting(
        "HEARTBEAT_DIRECTORY", "", "Folder of the heartbeat files of processes without HTTP; empty: a temporary folder."
    ),
    PlatformSetting("STREAMS_PER_PROCESS", 500, "Streams that one ASGI process keeps open at once."),
    PlatformSetting("STREAMS_PER_CALLER", 20, "Of those, the streams of one API key or one account."),
    PlatformSetting("METRICS_PORT", 0, "Port at which processes without HTTP export their counters; 0: none."),
    PlatformSetting("METRICS_TOKEN", "", "Bearer token of the metrics; empty: no metrics are exported."),
    PlatformSetting(
        "PLATFORM_LOG_LEVEL",
        "",
        "Level from which lines of the platform's own processes are stored for the search of logs; empty: none.",
        choices=("", "debug", "info", "warning", "error"),
    ),
    PlatformSetting(
        "PLATFORM_LOG_MEGABYTES", 1_024, "Size of these lines; beyond it the oldest are removed.", minimum=1
    ),
    PlatformSetting(
        "POSTGRES_PROGRAMS", "", "Folder of `pg_dump` and `pg_restore`, which backups use; empty: those in PATH."
    ),
    PlatformSetting(
        "ARCHIVE",
        "",
        "Folder, or s3://BUCKET/PREFIX, of ended jobs that retention will delete, and of evidence packs; empty: none.",
    ),
    PlatformSetting("SITE_NAME", "main", "Name of this site, different from those of the other sites."),
    PlatformSetting(
        "SITE_WITNESS",
        "",
        "Document outside the sites in which the active one renews its epoch: s3://BUCKET/KEY, a URL, or file:///PATH.",
    ),
    PlatformSetting("TRACE_URL_TEMPLATE", "", "URL of a trace, containing `{trace_id}`, for the link on a job's page."),
    PlatformSetting(
        "OUTGOING_HTTP_ALLOWED_HOSTS", [], "Hosts with private addresses that jobs may call, each as host:port."
    ),
    PlatformSetting(
        "OUTGOING_HTTP_PORTS",
        # Beside those of the web: vLLM and others, LM Studio, Ollama.
        [80, 443, 8000, 8080, 8443, 1234, 11434],
        "Ports that jobs may call on other hosts.",
        1,
        65_535,
        item_type=int,
    ),
    PlatformSetting("PUBLIC_URL", "", "URL of this installation, such as https://jobs.example.com, for links in mail."),
    PlatformSetting("RUNBOOK_URL", "docs/alerting.md", "Page of the runbook that alerts link to, section by section."),
    PlatformSetting("ALERTS_TENANT", "platform-alerts", "Slug of the tenant whose jobs deliver alerts."),
    PlatformSetting(
        "ALERT_HEARTBEAT_URL",
        "",
        "URL that is called while alerts work; its service notifies you when the calls stop. Empty: none.",
    ),
    PlatformSetting("ALERT_HEARTBEAT_SECONDS", 30, "Seconds between two of these calls.", 5, 3_600),
    PlatformSetting(
        "EXTRACTION_WITHOUT_SANDBOX",
        default=False,
        help_text="Whether files are parsed on a worker whose kernel has no sandbox.",
    ),
)
