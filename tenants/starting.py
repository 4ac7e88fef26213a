"""What every process asks before it serves: none starts where it could only do harm."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from django.core.checks import CheckMessage, Tags, run_checks
from django.db import OperationalError

from tenants.checks import START, tell_away, why_shut
from tenants.database.conf import APP_ALIAS

logger = logging.getLogger(__name__)


class UnfitStartError(RuntimeError):
    """The start-up checks found errors; the message is theirs, with the cures."""


def require_fit_start(*, bears: Collection[str] = ()) -> None:
    """Log what the start-up checks warn of, and raise UnfitStartError for what they call errors.

    `bears` are errors, by their ids, in spite of which this process does good: of whoever answers, or waits, without
    a database that it is away (until it is back each new connection checks the role, and the readiness probe the
    tables); of whoever runs no plug-in that one is broken.
    """
    found = [message for message in _ask() if not message.is_silenced()]
    errors = [message for message in found if message.is_serious() and message.id not in bears]
    for message in found:
        if message not in errors:
            logger.warning("start.warned", extra={"check": message.id, "finding": message.msg, "hint": message.hint})
    if errors:
        raise UnfitStartError("\n".join(_words(message) for message in errors))


def _ask() -> Sequence[CheckMessage]:
    """What the checks say; of a database that lets nobody in that alone, asked once and not by each of them."""
    # URLs, templates and admin would cost time and memory, and are the tests' affair.
    of_program = run_checks(tags=[START])
    if shut := why_shut():
        return [*of_program, *shut]
    try:
        return [*of_program, *run_checks(tags=[Tags.database], databases=[APP_ALIAS])]
    except OperationalError as error:
        return [*of_program, tell_away(error)]


def _words(message: CheckMessage) -> str:
    return " ".join([message.msg, *([message.hint] if message.hint else []), f"({message.id})"])
