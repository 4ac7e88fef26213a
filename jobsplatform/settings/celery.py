"""Settings of Celery, with Redis as broker. PostgreSQL stores every job; a message only says that a job may start."""

from kombu import Queue

from jobsplatform.settings.env import env

CELERY_BROKER_URL = env.str("REDIS_URL")
CELERY_TIMEZONE = "UTC"

# JSON only: no message contains code. Workers accept none without a signature (scheduling.celery.publishing).
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_RESULT_ACCEPT_CONTENT = ["json"]

# State, results and retries are in PostgreSQL.
CELERY_TASK_IGNORE_RESULT = True
# Without results beat has none to clean up.
CELERY_RESULT_EXPIRES = None
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_TASK_ACKS_LATE = True
# A requeue by Celery repeats forever for a job that kills its worker; leases and crash_count decide instead.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
# Failed and timed-out tasks are acknowledged too: the rescue sweep runs them again, not the broker.
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = True

# No message waits in a worker's memory while another worker is idle.
CELERY_WORKER_DISABLE_PREFETCH = True
# No limit of kombu besides: a failed acknowledgement would permanently use up one of its places.
CELERY_WORKER_PREFETCH_MULTIPLIER = 0
# Otherwise a writer of the broker could control every worker.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000  # against slow leaks
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 1_048_576  # KiB: 1 GiB, the "large" memory class
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 8.0  # seconds for jobs to reach a safe point
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 30.0  # seconds: models load before the fork, but a cold disk is slow
# The heartbeat thread enforces each kind's own timeout; these are the backstop for all kinds.
CELERY_TASK_SOFT_TIME_LIMIT = 3_600  # seconds
CELERY_TASK_TIME_LIMIT = 3_660  # seconds

# Reconnects within a second or two, however long the broker was away.
CELERY_WORKER_CONSUMER = "scheduling.worker.consumer:ReconnectingConsumer"
CELERY_BROKER_CONNECTION_RETRY = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5  # seconds
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3_600,  # seconds; leases recover jobs, not this timeout
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A half-open socket blocks a worker without a timeout.
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 5,
}
# The dispatcher retries publishing, and undoes the claim first: no second loop below it.
CELERY_TASK_PUBLISH_RETRY = False

# Celery's own `celery` queue is never used: every message names the queue that routing chose.
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_QUEUES = [Queue("maintenance")]

CELERY_BEAT_SCHEDULER = "scheduling.celery.beat:BeatingScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until an edited schedule is read
# Beat's rows have explicit time zones; naive times are never compared.
DJANGO_CELERY_BEAT_TZ_AWARE = True
