"""Settings of logging."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from jobsplatform.settings.env import env

_LOG_FORMAT = env.str("LOG_FORMAT")
if _LOG_FORMAT not in {"console", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT is {_LOG_FORMAT!r}; it must be 'console' or 'json'.")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "jobsplatform.logging.build_formatter", "log_format": _LOG_FORMAT}},
    "handlers": {
        "stderr": {"class": "jobsplatform.logging.DroppingHandler", "formatter": "structured"},
    },
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL").upper()},
    "loggers": {
        # A line for each statement would drown the rest, and could contain values.
        "django.db.backends": {"level": "WARNING"},
        # At DEBUG it logs the headers of responses, which may repeat a secret.
        "httpcore": {"level": "WARNING"},
        # A line for each request has its URL, whose query may be a secret.
        "httpx": {"level": "WARNING"},
        # A line for each successful log-in adds nothing.
        "axes": {"level": "WARNING"},
    },
}
