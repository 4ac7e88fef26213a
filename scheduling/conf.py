"""The scheduler's settings, read at the moment of use, with the limits that no setting moves."""

from __future__ import annotations

from django.conf import settings

from scheduling.breakers.rules import CircuitPolicy

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_PAYLOAD_DEPTH = 32
MAX_RESULT_BYTES = 64 * 1024
# Of one job's log, over all its attempts.
MAX_LOG_BYTES = 1024 * 1024
MAX_ERROR_CHARACTERS = 16 * 1024
MAX_BULK_JOBS = 1_000
# The kind that tells somebody outside; whoever brings it takes `webhook`, `event` and `data`.
WEBHOOK_KIND = "webhook_delivery"
MAX_TAGS = 20

# Most jobs one tick hands out; also the most entities it looks at in each queue.
TICK_JOBS = 1_000
# Jobs predicted below this travel together …
MERGE_BELOW_US = 20_000
# … at most so many in one message, a whole tick's, and only as many as are predicted to be done in this time, for which
# whoever comes next waits.
MAX_MESSAGE_JOBS = 1_000
MESSAGE_WORK_US = 100_000
# Whose turn has not come so many seconds after its message began is handed back.
MESSAGE_SECONDS = 0.2
# Most rows that one tick moves from the due and held tables, so that no tick grows long.
STAGE_ROWS = 2_000
# Most wakes that one tick folds, likewise.
WAKE_ROWS = 5_000
# Settings of PostgreSQL for the statements that run for every job. A flood may come before the tables' statistics know
# of it; to read a table of many thousand rows once for each of a few thousand would take minutes. All that they look
# up has an index, and what has none is read all the same. So the values change no plan for the better, and to make one
# for them takes longer than to run it: prepared statements keep theirs (tenants.database.prepared).
BY_INDEX = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
# Frees a tick whose process was stopped in the middle of its transaction.
TICK_IDLE_TIMEOUT_MS = 2_000
# So long ticks and duties wait for a lock: whoever holds rows of one tenant keeps no other waiting for longer.
LOCK_TIMEOUT_MS = 200

# Most schedules that one look fires, so that no transaction grows long; the next look is a second away.
FIRE_BATCH = 50
FIRE_INTERVAL_SECONDS = 1.0
# Most jobs that one backfill submits.
MAX_BACKFILL_FIRES = 1_000

# Ids of start-up checks: a plug-in cannot be loaded, or its schema is none. Who runs no processor bears both.
PROCESSOR_INVALID, SCHEMA_INVALID = "scheduling.E001", "scheduling.E002"

EXECUTE_TASK = "scheduling.execute"
RUN_UPKEEP_TASK = "scheduling.run_upkeep"
UPKEEP_QUEUE = "maintenance"
CANARY_TASK = "scheduling.canary"


def dispatch_interval_seconds() -> float:
    """Longest time between two ticks when nobody wakes the dispatcher."""
    return float(settings.DISPATCH_INTERVAL_SECONDS)


def republish_after_seconds() -> float:
    """Age at which a message that no worker began is published again."""
    return float(settings.REPUBLISH_AFTER_SECONDS)


def lease_seconds() -> float:
    """How long an execution is its worker's after the last heartbeat."""
    return float(settings.LEASE_SECONDS)


def heartbeat_seconds() -> float:
    """Time between two heartbeats of a worker."""
    return float(settings.HEARTBEAT_SECONDS)


def sweep_seconds() -> float:
    """Time between two rescue sweeps."""
    return float(settings.SWEEP_SECONDS)


def circuit_policy() -> CircuitPolicy:
    """When breakers open, and for how long."""
    return CircuitPolicy(
        failures=int(settings.CIRCUIT_FAILURES),
        window_seconds=float(settings.CIRCUIT_WINDOW_SECONDS),
        cool_down_seconds=float(settings.CIRCUIT_COOL_DOWN_SECONDS),
    )


def data_key_missing_hours() -> float:
    """How long a job may wait for a data key that is missing before it becomes a dead letter; 0: without an end."""
    return float(settings.DATA_KEY_MISSING_HOURS)


def worker_spare_children() -> int:
    """How many children a worker has beyond its slots."""
    return int(settings.WORKER_SPARE_CHILDREN)


def canary_interval_seconds() -> float:
    """Time between two canaries of a worker; 0 sends none."""
    return float(settings.CANARY_INTERVAL_SECONDS)


def canary_limit_seconds() -> float:
    """How long a worker with a free slot may leave canaries unread before it is restarted."""
    return float(settings.CANARY_LIMIT_SECONDS)


def watchdog_seconds() -> float:
    """How long a loop of a process may stand still before the process is restarted."""
    return float(settings.WATCHDOG_SECONDS)


def heartbeat_directory() -> str:
    """Where processes without HTTP write heartbeat files; empty: in a directory among the temporary files."""
    return str(settings.HEARTBEAT_DIRECTORY)


def waits_per_process() -> int:
    """How many requests may wait for news in one web process at once."""
    return int(settings.WAITS_PER_PROCESS)


def streams_per_process() -> int:
    """How many streams one process keeps open at once."""
    return int(settings.STREAMS_PER_PROCESS)


def streams_per_caller() -> int:
    """How many of them one key or one account may have."""
    return int(settings.STREAMS_PER_CALLER)


def metrics_port() -> int | None:
    """Where a dispatcher or worker answers scrapes itself; None: nowhere."""
    return int(settings.METRICS_PORT) or None


def ageing_seconds() -> float:
    """How many seconds of waiting one step of priority is worth."""
    return float(settings.AGEING_SECONDS)


def diagnostic_kinds_allowed() -> bool:
    """Whether the kinds that crash, fail, spin and allocate may be submitted."""
    return bool(settings.DIAGNOSTIC_KINDS)
