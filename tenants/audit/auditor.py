"""The auditor's database login: the only one that may write seals, sign chain heads and prune the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from tenants.database.conf import APP_ALIAS, AUDITOR_ALIAS


@contextmanager
def auditor_login() -> Iterator[None]:
    """Make the auditor's login the default database connection of this thread for the duration of the context.

    Raise `ImproperlyConfigured` if DATABASE_AUDITOR_URL is not set.
    """
    if AUDITOR_ALIAS not in settings.DATABASES:
        raise ImproperlyConfigured("Set DATABASE_AUDITOR_URL: the auditor needs a database login of its own.")
    kept = connections[APP_ALIAS]
    login = connections.create_connection(AUDITOR_ALIAS)
    # It takes the place of the application's connection and passes the same checks.
    login.alias = APP_ALIAS
    connections[APP_ALIAS] = login
    try:
        yield
    finally:
        connections[APP_ALIAS].close()
        connections[APP_ALIAS] = kept
