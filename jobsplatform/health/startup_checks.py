"""Start-up checks of the web servers, which run when the WSGI or ASGI entry point is imported."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from tenants.checks import DATABASE_AWAY
from tenants.startup_checks import STANDBY, run_startup_checks


def run_web_startup_checks() -> None:
    """Raise StartupCheckError if the web server must not start.

    An unavailable database does not prevent the start, because the probes report it. The checks run in their own thread
    for two reasons: an ASGI server imports the entry point inside its event loop, where Django refuses database access;
    and their connection must neither stay open in an idle thread nor be inherited by forked processes.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(_ask).result()


def _ask() -> None:
    try:
        run_startup_checks(ignored={DATABASE_AWAY, STANDBY})
    finally:
        connections.close_all()
