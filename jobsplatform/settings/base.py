"""Settings of Django itself: apps, middleware, databases, cache, files, cookies, content security."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from jobsplatform.settings.env import BASE_DIR, env
from jobsplatform.settings.files import FILES
from tenants.database.options import connection_options

DEBUG = env.bool("DEBUG")
# Without a given key each process generates one: sessions end with the process. The start-up checks refuse to serve
# without a given key.
SECRET_KEY = env.str("SECRET_KEY") or get_random_secret_key()
# Replaced keys, which still verify what they have signed.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "jobsplatform.apps.PlatformConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "jobsplatform.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_celery_beat",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "health_check",
    "tenants",
    "scheduling",
    "workloads.files",
    "workloads.documents",
    "workloads.workflows.records",
    # Plug-ins: one line each; removing the line removes the kind.
    "workloads.documents.chunks",
    "workloads.documents.indexing",
    "workloads.documents.evaluation",
    "workloads.documents.sources",
    "workloads.pipelines",
    "workloads.diagnostics",
    "workloads.http_call",
    "workloads.mail",
    "workloads.workflows",
    "workloads.model_endpoints",
    "workloads.webhooks",
    "workloads.triggers",
]

MIDDLEWARE = [
    "jobsplatform.middleware.AccessLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "jobsplatform.middleware.ContentSecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "jobsplatform.middleware.ConsoleMessageMiddleware",
    # Its context holds the request for the forms of second factors.
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "scheduling.sites.middleware.StandbyMiddleware",
    # Before the caller is looked up, which costs a query.
    "jobsplatform.admission.AdmissionMiddleware",
    # Around the next one, so that a long poll holds no transaction.
    "tenants.middleware.LongPollMiddleware",
    # Outside of that transaction: it stores what a refused act asks for.
    "tenants.approvals.middleware.ApprovalMiddleware",
    # Opens the transaction and sets the tenant around the view: after authentication, before ATOMIC_REQUESTS.
    "tenants.middleware.TenantMiddleware",
    # Within it, because it charges the caller that was found.
    "jobsplatform.middleware.RequestRateMiddleware",
    # Last, as axes requires: replaces the response to a locked-out log-in by its page.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "jobsplatform.urls"
WSGI_APPLICATION = "jobsplatform.wsgi.application"
ASGI_APPLICATION = "jobsplatform.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"console": "scheduling.console.tags"},
            "builtins": ["tenants.console.moments"],
        },
    },
]

# Databases -----------------------------------------------------------------------------------------------


def _database(variable: str) -> dict[str, Any]:
    """Return the database settings for the URL in an environment variable."""
    found = env.db_url(variable)
    return {**found, "OPTIONS": connection_options(found.get("OPTIONS", {}))}


DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **_database("DATABASE_URL"),
        "ATOMIC_REQUESTS": True,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # A pooler in transaction mode gives each transaction another session: a cursor that outlives one is lost.
        "DISABLE_SERVER_SIDE_CURSORS": env.bool("DATABASE_POOLED"),
    },
}
# Only migrations and the creation of test databases connect as the owner.
if env.str("DATABASE_OWNER_URL"):
    DATABASES["owner"] = {**_database("DATABASE_OWNER_URL"), "CONN_MAX_AGE": 0}
# Only `run_auditor` connects as the auditor.
if env.str("DATABASE_AUDITOR_URL"):
    _auditor = _database("DATABASE_AUDITOR_URL")
    _keys = ("USER", "PASSWORD", "HOST", "PORT", "NAME", "OPTIONS")
    DATABASES["auditor"] = {**DATABASES["default"], **{key: _auditor[key] for key in _keys}, "ATOMIC_REQUESTS": False}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _cache_url(broker_url: str) -> str:
    """Return the broker's URL with database 1, so that the cache does not share the broker's keys."""
    parts = urlsplit(broker_url)
    if parts.path not in {"", "/", "/0"}:
        raise ImproperlyConfigured(
            "REDIS_URL names a database other than 0; set CACHE_URL to the database of the cache."
        )
    return urlunsplit(parts._replace(path="/1"))


CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": env.str("CACHE_URL") or _cache_url(env.str("REDIS_URL")),
        "KEY_PREFIX": "jobsplatform",
        # A half-open socket must not block a request. Django's own serializer would unpickle the content of Redis.
        "OPTIONS": {
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
            "serializer": "tenants.cache.serializer.JSONSerializer",
        },
    },
}

# Language, time, files -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
# Each has all of the console's texts (`make messages`). The language cookie decides, then Accept-Language.
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "static/"
# With it, collectstatic's files are served under hashed names and cached forever; else they come from the apps.
_COLLECTED_STATIC = env.bool("COLLECTED_STATIC")
STATIC_ROOT = BASE_DIR / "var" / "static" if _COLLECTED_STATIC else None
WHITENOISE_USE_FINDERS = not _COLLECTED_STATIC
STORAGES = {
    "default": FILES,
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if _COLLECTED_STATIC
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        ),
    },
}

# Accounts, transport, content security ---------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

_HTTPS_ONLY = env.bool("HTTPS_ONLY")
SECURE_SSL_REDIRECT = _HTTPS_ONLY
# Orchestrators probe over plain HTTP, inside the network.
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _HTTPS_ONLY else None
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if _HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS_ONLY
# A browser's preload list binds the whole domain for years: its owner's decision, not an application's.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        # unfold sets its palette and widths with style attributes.
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
