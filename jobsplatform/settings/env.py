"""All environment variables that the platform reads, with type and default.

A variable with the name of a key of JOBS_PLATFORM sets that key, and gets type and default from its declaration; the
others are listed here. A test compares docs/reference/configuration.md and .env.example with `env.scheme`.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from tenants.database.platform_settings import PlatformSetting, declared_settings, find_faults

BASE_DIR = Path(__file__).resolve().parent.parent.parent
# Of all workloads, installed or not: a workload is removed without removing its variables.
for _app in (
    "tenants",
    "scheduling",
    "workloads.documents",
    "workloads.files",
    "workloads.model_endpoints",
    "workloads.pipelines",
    "workloads.workflows.records",
    "jobsplatform",
):
    import_module(f"{_app}.platform_settings")

# Port 9 is "discard": without an environment the settings can be imported, and no server answers.
NOWHERE_DATABASE_URL = "postgres://jobs_app@127.0.0.1:9/jobs"


def _pair(text: str) -> tuple[int, int]:
    """Return the two numbers in a text such as 600/120; raise ValueError if it is not such a pair."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal()):
        raise ValueError("it must be two numbers, such as 600/120")
    return int(first), int(second)


def _cast(setting: PlatformSetting) -> Any:
    """Return the function or type that converts the text of a variable to the type of the setting."""
    match setting.default:
        case tuple():
            return _pair
        case list():
            return [setting.item_type]
        case dict() if setting.item_type is dict:
            return json.loads
    return type(setting.default)


env = environ.Env(
    **{each.name: (_cast(each), each.default) for each in declared_settings() if each.has_variable},
    # Servers
    DATABASE_URL=(str, NOWHERE_DATABASE_URL),
    DATABASE_OWNER_URL=(str, ""),
    DATABASE_AUDITOR_URL=(str, ""),
    DATABASE_POOLED=(bool, False),
    CACHE_URL=(str, ""),
    # Web
    SECRET_KEY=(str, ""),
    SECRET_KEY_FALLBACKS=(list, []),
    DEBUG=(bool, False),
    ALLOWED_HOSTS=(list, ["localhost", "127.0.0.1", "[::1]"]),
    CSRF_TRUSTED_ORIGINS=(list, []),
    HTTPS_ONLY=(bool, False),
    LOGIN_FAILURE_LIMIT=(int, 5),
    LOGIN_LOCKOUT_SECONDS=(int, 900),
    SESSION_MAX_SECONDS=(int, 43_200),
    OIDC_CLIENT_ID=(str, ""),
    OIDC_CLIENT_SECRET=(str, ""),
    EMAIL_HOST=(str, ""),
    EMAIL_PORT=(int, 587),
    EMAIL_HOST_USER=(str, ""),
    EMAIL_HOST_PASSWORD=(str, ""),
    EMAIL_USE_TLS=(bool, True),
    DEFAULT_FROM_EMAIL=(str, "jobs@localhost"),
    COLLECTED_STATIC=(bool, False),
    FILES_ROOT=(str, "var/files"),
    FILES_STORAGE=(str, ""),
    FILES_STORAGE_OPTIONS=(str, ""),
    # Observability
    OTEL_EXPORTER_OTLP_ENDPOINT=(str, ""),
    LOG_LEVEL=(str, "INFO"),
    LOG_FORMAT=(str, "console"),
)

# Variables that are already set take precedence over the file.
if (BASE_DIR / ".env").is_file():
    environ.Env.read_env(BASE_DIR / ".env")


def read_platform_settings() -> dict[str, Any]:
    """Return the values of the keys of JOBS_PLATFORM that have a variable.

    Raise ImproperlyConfigured if a value is invalid.
    """
    values = {each.name: _read(each.name) for each in declared_settings() if each.has_variable}
    if faults := list(find_faults(values)):
        raise ImproperlyConfigured(" ".join(faults))
    return values


def _read(name: str) -> Any:
    try:
        return env(name)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from error
