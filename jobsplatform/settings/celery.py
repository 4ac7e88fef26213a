"""Celery: pools of ordinary workers on a Redis broker. A message is a hint; PostgreSQL holds every job."""

from kombu import Queue

from jobsplatform.settings.env import env

CELERY_BROKER_URL = env.str("REDIS_URL")
CELERY_TIMEZONE = "UTC"

# JSON only: no message holds code. Workers accept none without a signature (scheduling.celery.message_signing).
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_RESULT_ACCEPT_CONTENT = ["json"]

# State, results and retries live in PostgreSQL.
CELERY_TASK_IGNORE_RESULT = True
# Without results beat has none to clean up.
CELERY_RESULT_EXPIRES = None
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_TASK_ACKS_LATE = True
# A requeue by Celery loops for ever on a job that kills its worker; leases and crash_count decide instead.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
# Also acknowledge what raised or timed out: the rescue sweep, not the broker, runs it again.
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = True

# Nothing waits in a worker's memory while another worker is idle.
CELERY_WORKER_DISABLE_PREFETCH = True
# No limit of kombu's beside it: an acknowledgement that fails would use up a place of that for good.
CELERY_WORKER_PREFETCH_MULTIPLIER = 0
# Whoever can write to the broker could otherwise command every worker.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000  # against slow leaks
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 1_048_576  # KiB: 1 GiB, the "large" memory class
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 8.0  # seconds for jobs to reach a safe point
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 30.0  # seconds: models load before the fork, yet a cold disk is slow
# The heartbeat thread enforces each kind's own timeout; these are the backstop beyond every kind.
CELERY_TASK_SOFT_TIME_LIMIT = 3_600  # seconds
CELERY_TASK_TIME_LIMIT = 3_660  # seconds

# Comes back within a second or two, however long the broker was away.
CELERY_WORKER_CONSUMER = "scheduling.worker.consumer:ReturningConsumer"
CELERY_BROKER_CONNECTION_RETRY = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5  # seconds
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3_600,  # seconds; recovery comes from leases, not from here
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A half-open socket hangs a worker that has no timeout.
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 5,
}
# Publishing is retried by the dispatcher, which undoes the claim first: no second loop beneath it.
CELERY_TASK_PUBLISH_RETRY = False

# Celery's own `celery` queue is never used: every message names the queue that routing chose.
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_QUEUES = [Queue("maintenance")]

CELERY_BEAT_SCHEDULER = "scheduling.celery.beat:BeatingScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until an edited schedule is seen
# Time zones are written out in beat's rows; naive times are never compared.
DJANGO_CELERY_BEAT_TZ_AWARE = True
