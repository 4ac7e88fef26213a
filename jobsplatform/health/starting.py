"""The start-up checks of the web servers, which begin by importing a module."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from tenants.checks import DATABASE_AWAY
from tenants.starting import require_fit_start


def require_fit_web() -> None:
    """Raise UnfitStartError where the web must not start; a database that is away is no reason, the probes tell it.

    The checks have a thread of their own: an ASGI server imports inside its event loop, where Django asks no database,
    and their connection must not be kept by a thread that serves nobody, or go to processes that are forked later.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(_ask).result()


def _ask() -> None:
    try:
        require_fit_start(bears={DATABASE_AWAY})
    finally:
        connections.close_all()
