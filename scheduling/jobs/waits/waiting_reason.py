"""One reason of a wait, and the words that reasons share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from scheduling.jobs.waits.start_conditions import ActiveStop


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """One reason that keeps a job from starting: a stable code and a sentence.

    ``until`` is when the reason ends by itself, or None. ``is_stop``: work in progress does not end the reason, only
    ``until`` or a person does.
    """

    code: str
    detail: str
    until: datetime | None = None
    is_stop: bool = True


def stopped(code: str, what: str, stop: ActiveStop) -> Iterator[WaitingReason]:
    """Yield the reason if a person or a rule has stopped this."""
    if stop.is_on:
        yield WaitingReason(code, with_end(what, stop.until, stop.reason), stop.until)


def with_end(what: str, until: datetime | None, reason: str) -> str:
    """Return a stop as a sentence, followed by its reason."""
    values = {"what": what, "until": shown_time(until) if until else ""}
    sentence = gettext("%(what)s until %(until)s.") % values if until else gettext("%(what)s.") % values
    return f"{sentence} {reason}".strip()


def shown_time(value: datetime) -> str:
    """Return a time in UTC, to the second, in ISO 8601."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z")
