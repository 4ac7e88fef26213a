"""Start-up checks that every process runs, so that none starts in a state in which it could only do harm."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from django.core.checks import CheckMessage, Tags, run_checks
from django.db import OperationalError

from tenants.checks import START, connection_fault, unreachable_error
from tenants.database.conf import APP_ALIAS
from tenants.database.platform_settings import platform_settings

# A process that starts work, at a standby.
STANDBY = "tenants.E010"
logger = logging.getLogger(__name__)


class StartupCheckError(RuntimeError):
    """Raised with the errors that the start-up checks found, and what to do about them."""


def run_startup_checks(*, ignored: Collection[str] = ()) -> None:
    """Run the start-up checks: log their warnings, and raise `StartupCheckError` if they find errors.

    `ignored` are ids of errors that this process tolerates. A web process, or one that waits, tolerates that the
    database cannot be reached: once it can, each new connection checks its role, and the readiness probe checks the
    tables. A process that runs no plug-in tolerates a broken plug-in.
    """
    if platform_settings.SITE_ROLE == "standby" and STANDBY not in ignored:
        raise StartupCheckError(
            "SITE_ROLE is standby: this site serves reads and starts no work. Start this process at the active site; "
            f"after “manage.py promote”, set SITE_ROLE to active. ({STANDBY})"
        )
    found = [message for message in _ask() if not message.is_silenced()]
    errors = [message for message in found if message.is_serious() and message.id not in ignored]
    for message in found:
        if message not in errors:
            logger.warning("start.warned", extra={"check": message.id, "finding": message.msg, "hint": message.hint})
    if errors:
        raise StartupCheckError("\n".join(_words(message) for message in errors))


def _ask() -> Sequence[CheckMessage]:
    """Return the findings of all checks.

    If the database refuses connections, return that finding instead of those of the database checks.
    """
    # Checks of URLs, templates and admin would cost time and memory; tests run them.
    of_program = run_checks(tags=[START])
    if shut := connection_fault():
        return [*of_program, *shut]
    try:
        return [*of_program, *run_checks(tags=[Tags.database], databases=[APP_ALIAS])]
    except OperationalError as error:
        return [*of_program, unreachable_error(error)]


def _words(message: CheckMessage) -> str:
    return " ".join([message.msg, *([message.hint] if message.hint else []), f"({message.id})"])
