"""Declarations of the limits of scheduling: rates, waiting jobs, worker time, memory."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.limits.declared import Limit, LimitPeriod

MICROSECONDS: Final = 1_000_000

SUBMITS_PER_MINUTE: Final = Limit(
    key="submits_per_minute",
    title=gettext_noop("Submissions a minute"),
    unit=gettext_noop("jobs/min"),
    counts=gettext_noop("Jobs that the tenant submits by API or console, over time; each job of a bulk is one."),
    span=LimitPeriod.MINUTE,
    enforced_at="submit",
    plan_column="submits_per_minute",
)
SUBMIT_BURST: Final = Limit(
    key="submit_burst",
    title=gettext_noop("Submission burst"),
    unit=gettext_noop("jobs"),
    counts=gettext_noop("Jobs that may be submitted in one burst."),
    span=LimitPeriod.NOW,
    enforced_at="submit",
    default=1_000,
)
MAX_WAITING_JOBS: Final = Limit(
    key="max_waiting_jobs",
    title=gettext_noop("Waiting jobs"),
    unit=gettext_noop("jobs"),
    counts=gettext_noop("Jobs that are ready, scheduled or waiting for their next attempt."),
    span=LimitPeriod.NOW,
    enforced_at="submit",
    plan_column="max_waiting_jobs",
    warns=True,
)
JOBS_PER_BULK: Final = Limit(
    key="jobs_per_bulk",
    title=gettext_noop("Jobs in one bulk request"),
    unit=gettext_noop("jobs"),
    counts=gettext_noop("Jobs of one request to jobs/bulk/."),
    span=LimitPeriod.EACH,
    enforced_at="submit",
    default=1_000,
)
MAX_CONCURRENCY: Final = Limit(
    key="max_concurrency",
    title=gettext_noop("Jobs at once"),
    unit=gettext_noop("jobs"),
    counts=gettext_noop("Jobs in flight; at the limit, further jobs wait."),
    span=LimitPeriod.NOW,
    enforced_at="dispatch",
    plan_column="max_concurrency",
    tenant_column="max_concurrency",
)
WORKER_SECONDS: Final = Limit(
    key="worker_seconds_per_month",
    title=gettext_noop("Worker time a month"),
    unit=gettext_noop("s"),
    counts=gettext_noop("Measured time of ended executions at the rates of their pools, by the month of their ends."),
    span=LimitPeriod.MONTH,
    enforced_at="submit and dispatch",
    plan_column="worker_seconds_per_month",
    counts_per_unit=MICROSECONDS,
    is_counter=True,
    warns=True,
)
CPU_SECONDS: Final = Limit(
    key="cpu_seconds_per_month",
    title=gettext_noop("Processor time a month"),
    unit=gettext_noop("s"),
    counts=gettext_noop("Processor time of ended executions in processes of their own, by the month of their ends."),
    span=LimitPeriod.MONTH,
    enforced_at="dispatch",
    counts_per_unit=MICROSECONDS,
    is_counter=True,
    warns=True,
)
IO_MIB: Final = Limit(
    key="io_mib_per_month",
    title=gettext_noop("Storage traffic a month"),
    unit=gettext_noop("MiB"),
    counts=gettext_noop("Bytes that ended executions read from storage and wrote to it, by the month of their ends."),
    span=LimitPeriod.MONTH,
    enforced_at="dispatch",
    counts_per_unit=1 << 20,
    is_counter=True,
    warns=True,
)
MEMORY_NOW: Final = Limit(
    key="memory_mib_now",
    title=gettext_noop("Memory of running jobs"),
    unit=gettext_noop("MiB"),
    counts=gettext_noop("Memory classes of the messages in flight, without those of I/O pools; further jobs wait."),
    span=LimitPeriod.NOW,
    enforced_at="dispatch",
)
PEAK_MEMORY: Final = Limit(
    key="peak_memory_mib",
    title=gettext_noop("Memory of a job"),
    unit=gettext_noop("MiB"),
    counts=gettext_noop("Resident memory of the process that runs a job; shown is the month's highest."),
    span=LimitPeriod.EACH,
    enforced_at="run",
    counts_per_unit=1_024,
    is_counter=True,
    warns=True,
)

SCHEDULE_COUNT: Final = Limit(
    key="schedules.count",
    title=gettext_noop("Schedules"),
    unit=gettext_noop("schedules"),
    counts=gettext_noop("Schedules that the tenant has, paused ones included."),
    span=LimitPeriod.NOW,
    enforced_at="save",
    default=100,
)
SCHEDULE_INTERVAL: Final = Limit(
    key="schedules.min_interval_seconds",
    title=gettext_noop("Least time between two runs of a schedule"),
    unit=gettext_noop("s"),
    counts=gettext_noop("Wall-clock time between two runs; a faster cron is refused."),
    span=LimitPeriod.EACH,
    enforced_at="save",
    default=60,
)
STREAMS: Final = Limit(
    key="streams",
    title=gettext_noop("Streams"),
    unit=gettext_noop("streams"),
    counts=gettext_noop("Streams that one process keeps open for all API keys and members of the tenant."),
    span=LimitPeriod.NOW,
    enforced_at="open",
    default=100,
)
LOG_BYTES: Final = Limit(
    key="log_bytes_per_day",
    title=gettext_noop("Log lines a day"),
    unit=gettext_noop("bytes"),
    counts=gettext_noop(
        "Bytes of log lines that were indexed today (UTC). Beyond the limit, only lines of level error are kept."
    ),
    span=LimitPeriod.DAY,
    enforced_at="run",
    default=1 << 30,
    warns=True,
)
OUTBOX_PENDING: Final = Limit(
    key="outbox_messages_pending",
    title=gettext_noop("Pending outbox messages"),
    unit=gettext_noop("messages"),
    counts=gettext_noop("Messages that jobs have emitted and that are not delivered yet, counted every five seconds."),
    span=LimitPeriod.NOW,
    enforced_at="submit",
    default=100_000,
    is_counter=True,
    warns=True,
)
# By the classes of rows of `scheduling.upkeep.retention`: title, rows, days.
_RETENTION: Final = {
    "finished_jobs": (gettext_noop("Retention of finished jobs"), gettext_noop("Completed and cancelled jobs."), 30),
    "failed_jobs": (gettext_noop("Retention of failed jobs"), gettext_noop("Jobs with a dead letter."), 90),
    "executions": (gettext_noop("Retention of executions"), gettext_noop("Outcome and cost of each execution."), 90),
    "events": (gettext_noop("Retention of events"), gettext_noop("Changes of jobs, and their errors."), 90),
    "charges": (gettext_noop("Retention of charges"), gettext_noop("Entries of the charge ledger."), 400),
    "job_logs": (gettext_noop("Retention of job logs"), gettext_noop("Lines of the logs of jobs."), 30),
    "audit": (gettext_noop("Retention of the audit log"), gettext_noop("Audit entries of the tenant."), 400),
}
RETENTION: Final = {
    rows: Limit(
        f"retention.{rows}_days",
        title,
        gettext_noop("days"),
        counts,
        LimitPeriod.EACH,
        "upkeep",
        days,
        is_of_plan_alone=True,
    )
    for rows, (title, counts, days) in _RETENTION.items()
}

LIMITS: Final = (
    SUBMITS_PER_MINUTE,
    SUBMIT_BURST,
    MAX_WAITING_JOBS,
    JOBS_PER_BULK,
    MAX_CONCURRENCY,
    WORKER_SECONDS,
    CPU_SECONDS,
    IO_MIB,
    MEMORY_NOW,
    PEAK_MEMORY,
    SCHEDULE_COUNT,
    SCHEDULE_INTERVAL,
    STREAMS,
    LOG_BYTES,
    OUTBOX_PENDING,
    *RETENTION.values(),
)
