"""Functions shared by pauses, drains and suspensions: checks of the reason and the end, and the actor's name."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.translation import gettext

from tenants.context import current_actor
from tenants.database.clock import read_moment
from tenants.exceptions import FieldInvalidError, ReasonRequiredError
from tenants.tenancy.bases import clean_name

REASON_LIMIT = 500
# The database also stores times that no datetime can hold; a row with one could not be read.
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def require_reason(reason: str, *, max_length: int = REASON_LIMIT) -> str:
    """Return the reason, stripped and validated; raise `ReasonRequiredError` if it is empty."""
    if not reason.strip():
        raise ReasonRequiredError
    return clean_name(reason, field="reason", max_length=max_length)


def expect_reason(reason: str, *, max_length: int = REASON_LIMIT) -> str:
    """Return the reason, stripped and validated; only for the platform itself (actor `system`) may it be empty.

    Raise `ReasonRequiredError` if it is empty for another actor.
    """
    if current_actor().kind == "system" and not reason.strip():
        return ""
    return require_reason(reason, max_length=max_length)


def actor_words() -> str:
    """Return the current actor as it is stored and shown: `user:ada`, `command:root@host`, `system`."""
    actor = current_actor()
    name = actor.label or actor.id
    return actor.kind if actor.kind == "system" or not name else f"{actor.kind}:{name}"[:200]


def check_until(until: datetime | None, *, field: str = "until") -> datetime:
    """Return the current time of the database's clock.

    Raise `FieldInvalidError` if `until` is naive or not in the future.
    """
    now = read_moment()
    if until is not None and (until.tzinfo is None or not now < until < LATEST):
        detail = gettext("It must be a future time before the year %(year)s, with a time zone.") % {"year": LATEST.year}
        raise FieldInvalidError.at(field, detail)
    return now
