"""The scheduler's numbers, whom jobs may call, and where documents and their embeddings come from."""

from django.core.exceptions import ImproperlyConfigured

from jobsplatform.settings.env import env

EDITION = env.str("EDITION")
if EDITION not in {"cloud", "community"}:
    raise ImproperlyConfigured(f"EDITION is {EDITION!r}; it must be 'cloud' or 'community'.")

# How many jobs of one tenant run at once where its plan does not say.
TENANT_ISOLATED_TASK_CONCURRENCY = env.int("TENANT_ISOLATED_TASK_CONCURRENCY")
# One step of priority is worth this many seconds of waiting.
AGEING_SECONDS = env.int("AGEING_SECONDS")
# Accept the kinds that crash, fail, spin and allocate. For tests only.
DIAGNOSTIC_KINDS = env.bool("DIAGNOSTIC_KINDS")

DISPATCH_INTERVAL_SECONDS = env.float("DISPATCH_INTERVAL_SECONDS")
REPUBLISH_AFTER_SECONDS = env.float("REPUBLISH_AFTER_SECONDS")
DATA_KEY_MISSING_HOURS = env.float("DATA_KEY_MISSING_HOURS")
LEASE_SECONDS = env.float("LEASE_SECONDS")
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS")
SWEEP_SECONDS = env.float("SWEEP_SECONDS")
# So many failures of a tenant's jobs of a kind in a row, of one cause and within the window, and the rest wait.
CIRCUIT_FAILURES = env.int("CIRCUIT_FAILURES")
CIRCUIT_WINDOW_SECONDS = env.float("CIRCUIT_WINDOW_SECONDS")
CIRCUIT_COOL_DOWN_SECONDS = env.float("CIRCUIT_COOL_DOWN_SECONDS")
if CIRCUIT_FAILURES < 0 or CIRCUIT_WINDOW_SECONDS <= 0 or CIRCUIT_COOL_DOWN_SECONDS <= 0:
    raise ImproperlyConfigured("CIRCUIT_FAILURES must be 0 (off) or more, the window and the cool-down more than 0.")
# Children of a worker beyond its slots, in which the next message waits while another one settles the last.
WORKER_SPARE_CHILDREN = env.int("WORKER_SPARE_CHILDREN")
if WORKER_SPARE_CHILDREN < 0:
    raise ImproperlyConfigured("WORKER_SPARE_CHILDREN must be 0 (none) or more.")
CANARY_INTERVAL_SECONDS = env.float("CANARY_INTERVAL_SECONDS")
CANARY_LIMIT_SECONDS = env.float("CANARY_LIMIT_SECONDS")
if CANARY_INTERVAL_SECONDS and CANARY_LIMIT_SECONDS < 2 * CANARY_INTERVAL_SECONDS:
    raise ImproperlyConfigured("CANARY_LIMIT_SECONDS must be at least twice CANARY_INTERVAL_SECONDS: one may be lost.")
WATCHDOG_SECONDS = env.float("WATCHDOG_SECONDS")
if WATCHDOG_SECONDS <= 0:
    raise ImproperlyConfigured("WATCHDOG_SECONDS must be more than 0.")
HEARTBEAT_DIRECTORY = env.str("HEARTBEAT_DIRECTORY")
if not 0 < HEARTBEAT_SECONDS * 2 <= LEASE_SECONDS:
    raise ImproperlyConfigured("LEASE_SECONDS must be at least twice HEARTBEAT_SECONDS, or one late beat loses a job.")

# Hosts inside, as host:port, that tenants' jobs may call too. The start-up checks read them.
OUTGOING_HTTP_ALLOWED_HOSTS = env.list("OUTGOING_HTTP_ALLOWED_HOSTS")
_PORTS = env.list("OUTGOING_HTTP_PORTS")
if not all(port.isascii() and port.isdigit() and 0 < int(port) < 65_536 for port in _PORTS):
    raise ImproperlyConfigured("OUTGOING_HTTP_PORTS must be numbers between 1 and 65535, comma-separated.")
OUTGOING_HTTP_PORTS = [int(port) for port in _PORTS]

# Read files also where the kernel protects neither the files of tenants nor the network from a parser.
EXTRACTION_WITHOUT_SANDBOX = env.bool("EXTRACTION_WITHOUT_SANDBOX")

# The operator's chat endpoint, for tenants that name none of their own.
LLM_API_URL = env.str("LLM_API_URL")
LLM_API_KEY = env.str("LLM_API_KEY")
LLM_MODEL = env.str("LLM_MODEL")
# Memory and Redis keep what each request asks for (limits, routes, settings) for so long each; a change is known to
# every process after twice that and one answer of Redis, which has to be less than a second.
CONFIGURATION_CACHE_SECONDS = 0.4

EMBEDDING_PROVIDER = env.str("EMBEDDING_PROVIDER")
EMBEDDING_API_URL = env.str("EMBEDDING_API_URL")
EMBEDDING_API_KEY = env.str("EMBEDDING_API_KEY")
EMBEDDING_MODEL = env.str("EMBEDDING_MODEL")
EMBEDDING_DIMENSIONS = env.int("EMBEDDING_DIMENSIONS")
# Chunks of one dataset that are compared one by one; a larger dataset gets an approximate index of its own.
EXACT_SEARCH_MAX_CHUNKS = env.int("EXACT_SEARCH_MAX_CHUNKS")

# Inputs and outputs up to this size as JSON stay in their rows; larger ones go to the file storage.
WORKFLOW_INLINE_VALUE_BYTES = env.int("WORKFLOW_INLINE_VALUE_BYTES")
# Entities of one pipeline run that a worker's child works on at once, at most.
PIPELINE_THREADS = env.int("PIPELINE_THREADS")
# How long ended pipeline runs are kept.
PIPELINE_RUN_DAYS = env.int("PIPELINE_RUN_DAYS")
if not 1 <= PIPELINE_THREADS <= 100 or PIPELINE_RUN_DAYS < 1:
    raise ImproperlyConfigured("PIPELINE_THREADS must lie between 1 and 100, PIPELINE_RUN_DAYS be 1 or more.")
