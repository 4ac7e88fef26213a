"""Settings for the peers that are Django applications; PEER says which one is asked."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

_url = urlsplit(os.environ["PEER_DATABASE_URL"])
SECRET_KEY = "of no use outside of a benchmark"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname,
        "PORT": _url.port,
        "CONN_MAX_AGE": None,
    }
}
INSTALLED_APPS = {
    "celery_results": ["django_celery_results"],
    "django_q2": ["django_q"],
    "django_tasks_db": ["django_tasks_db"],
}[os.environ["PEER"]]
# No successes are kept, which is the fastest that it can be.
Q_CLUSTER = {
    "name": "bench",
    "workers": int(os.environ.get("PEER_WORKERS", "2")),
    "save_limit": -1,
    "timeout": 60,
    "retry": 120,
    "redis": os.environ["PEER_REDIS_URL"],
    # Of the flooded turns alone: a cluster beside it, which Q_CLUSTER_NAME starts.
    "ALT_CLUSTERS": {"bulk": {"workers": 1}},
}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
