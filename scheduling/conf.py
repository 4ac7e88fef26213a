"""Limits of scheduling that no setting changes, and the policy of its circuit breakers."""

from __future__ import annotations

from scheduling.breakers.rules import CircuitPolicy
from tenants.database.platform_settings import platform_settings

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_PAYLOAD_DEPTH = 32
MAX_RESULT_BYTES = 64 * 1024
# Of one job's log, over all its attempts.
MAX_LOG_BYTES = 1024 * 1024
MAX_ERROR_CHARACTERS = 16 * 1024
MAX_BULK_JOBS = 1_000
# The kind that delivers webhooks; its processor accepts `webhook`, `event` and `data`.
WEBHOOK_KIND = "webhook_delivery"
# The kind that delivers messages of alerts.
ALERT_KIND = "alert_delivery"
# The kind that delivers messages that jobs have emitted.
OUTBOX_KIND = "outbox_delivery"
MAX_TAGS = 20

# The most jobs that one tick dispatches, and the most entities that it reads in each queue.
TICK_JOBS = 1_000
# A shorter job costs about as much as the tick that the announcement of its end triggers.
SMALL_US = 20_000
# Jobs predicted below this are merged into a message …
MERGE_BELOW_US = 5_000
# … at most this many in one message, a whole tick's, and only as many as are predicted to be done in this time, for
# which the next job in order waits.
MAX_MESSAGE_JOBS = 1_000
MESSAGE_WORK_US = 50_000
# Other jobs travel in prefetch lists: at most this many in one, and only as many as are predicted to be done in this
# time. Each is settled by itself, and those that have not begun may be returned at any time.
LIST_JOBS = 64
LIST_WORK_US = 50_000
# Those of a tenant that is ahead of a waiting one by this much, at its weight, are returned.
AHEAD_US = 5_000
# Executions that have not begun within this after their message did are returned.
MESSAGE_SECONDS = 0.2
# The most rows that one tick moves from the due and held tables, which bounds its length.
STAGE_ROWS = 2_000
# The most wakes that one tick folds, likewise.
WAKE_ROWS = 5_000
# Settings of PostgreSQL for the statements that run for every job. A burst may come before the tables' statistics
# reflect it; to read a table of many thousand rows once for each of a few thousand would take minutes. All that they
# look up has an index, and a table without one is still read. Parameter values improve no plan, and planning takes
# longer than running: prepared statements keep their plans (tenants.database.prepared).
BY_INDEX = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
# Frees a tick whose process was stopped in the middle of its transaction.
TICK_IDLE_TIMEOUT_MS = 2_000
# The longest wait of ticks and duties for a lock, so that a lock on rows of one tenant delays no other for longer.
LOCK_TIMEOUT_MS = 200

# The most schedules that one poll fires, which bounds its transaction; the next poll is a second away.
FIRE_BATCH = 50
FIRE_INTERVAL_SECONDS = 1.0
# The most jobs that one backfill submits.
MAX_BACKFILL_FIRES = 1_000

# Ids of start-up checks: a plug-in cannot be loaded, or its schema is invalid. Processes that run no processor tolerate
# both.
PROCESSOR_INVALID, SCHEMA_INVALID = "scheduling.E001", "scheduling.E002"

EXECUTE_TASK = "scheduling.execute"
RUN_UPKEEP_TASK = "scheduling.run_upkeep"
UPKEEP_QUEUE = "maintenance"
CANARY_TASK = "scheduling.canary"


def circuit_policy() -> CircuitPolicy:
    """Return when circuit breakers open and for how long, from the platform's settings."""
    return CircuitPolicy(
        failures=platform_settings.CIRCUIT_FAILURES,
        window_seconds=platform_settings.CIRCUIT_WINDOW_SECONDS,
        cool_down_seconds=platform_settings.CIRCUIT_COOL_DOWN_SECONDS,
    )
