"""Logs and metrics."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from jobsplatform.settings.env import env

# The image that this process runs in, for `check --deploy`.
IMAGE = env.str("IMAGE")

METRICS_TOKEN = env.str("METRICS_TOKEN")
METRICS_PORT = env.int("METRICS_PORT")
# Tenants whose share is told by name; 0 names none.
METRICS_TENANTS = env.int("METRICS_TENANTS")
# OpenTelemetry's own variable; the others of its kind are read by it alone.
IS_TRACING = bool(env.str("OTEL_EXPORTER_OTLP_ENDPOINT"))
TRACE_URL_TEMPLATE = env.str("TRACE_URL_TEMPLATE")
LOG_LEVEL = env.str("LOG_LEVEL").upper()
LOG_FORMAT = env.str("LOG_FORMAT")
if LOG_FORMAT not in {"console", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}; it must be 'console' or 'json'.")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "jobsplatform.logging.build_formatter", "log_format": LOG_FORMAT}},
    "handlers": {
        "stderr": {"class": "jobsplatform.logging.DroppingHandler", "formatter": "structured"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # One line for each statement would drown the rest, and could print values.
        "django.db.backends": {"level": "WARNING"},
        # At DEBUG it writes the headers of answers, which may repeat a secret.
        "httpcore": {"level": "WARNING"},
        # A line at every log-in that succeeds says nothing.
        "axes": {"level": "WARNING"},
    },
}
