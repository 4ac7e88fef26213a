"""The fields of the filter grammar, and the parsers of their values.

Each parser raises ValueUnreadableError for a text that is no value of its field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from scheduling.jobs.filters.terms import UNIT_SECONDS, WORDS, Value, meta_member
from scheduling.jobs.lifecycle import JobState
from tenants.translation import LocalizableText

# The range of the columns.
_LEAST_SMALL, _GREATEST_SMALL = -32_768, 32_767
# A hundred years: more than any job's age.
_MAX_AGE_SECONDS = 100 * 365 * UNIT_SECONDS["d"]
_DURATION = re.compile(r"(?:\d{1,9}[wdhms])+", re.ASCII)
_DURATION_PART = re.compile(r"(\d{1,9}+)([wdhms])", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
# Wide enough for the oldest age, and a day within any calendar's limits.
_FIRST_YEAR, _LAST_YEAR = 1900, 9900
COMPARISONS = (">=", "<=", ">", "<")
YES, NO = "yes", "no"
# The reasons of dead letters; a test compares them with the model's.
LETTER_REASONS = (
    "permanent_error",
    "attempts_exhausted",
    "deadline_passed",
    "retry_past_deadline",
    "crashed_workers",
    "discarded",
)


class ValueUnreadableError(ValueError):
    """The error for a text that is no value of its field; ``known`` are the valid words, if they can be listed."""

    def __init__(self, detail: LocalizableText, known: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.known = known


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the filter grammar; ``ops`` are the comparison operators that it allows, '' for equality."""

    name: str
    read: Callable[[str], Value]
    example: str
    ops: tuple[str, ...] = ("",)
    may_be_empty: bool = False


def read_text(text: str) -> str:
    """Return the text unchanged."""
    return text


def read_state(text: str) -> JobState:
    """Parse the name of a job state, in upper or lower case."""
    known = tuple(state.value for state in JobState)
    if text.lower() not in known:
        raise ValueUnreadableError(LocalizableText("There is no such state of jobs."), known)
    return JobState(text.lower())


def read_letter_reason(text: str) -> str:
    """Parse the reason of a dead letter, in upper or lower case."""
    return _read_known(text, LETTER_REASONS, LocalizableText("There is no such reason of dead letters."))


def read_yes_or_no(text: str) -> str:
    """Parse ``yes`` or ``no``, in upper or lower case."""
    return _read_known(text, (YES, NO), LocalizableText("It must be yes or no."))


def _read_known(text: str, known: tuple[str, ...], detail: LocalizableText) -> str:
    if text.lower() not in known:
        raise ValueUnreadableError(detail, known)
    return text.lower()


def read_uuid(text: str) -> UUID:
    """Parse a UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise ValueUnreadableError(LocalizableText("An id is a UUID.")) from None


def read_small(text: str) -> int:
    """Parse an integer in the range of a small-integer column."""
    if re.fullmatch(r"-?\d{1,5}", text, re.ASCII) and _LEAST_SMALL <= int(text) <= _GREATEST_SMALL:
        return int(text)
    raise ValueUnreadableError(
        LocalizableText(
            "It must be a whole number from %(least)s to %(greatest)s.",
            {"least": _LEAST_SMALL, "greatest": _GREATEST_SMALL},
        )
    )


def read_duration(text: str) -> timedelta:
    """Parse a duration such as ``90s``, ``1h30m`` or ``7d``."""
    if not _DURATION.fullmatch(text.lower()):
        raise ValueUnreadableError(LocalizableText("A duration is written as 90s, 15m, 1h30m, 7d or 2w."))
    seconds = sum(int(count) * UNIT_SECONDS[unit] for count, unit in _DURATION_PART.findall(text.lower()))
    if seconds > _MAX_AGE_SECONDS:
        raise ValueUnreadableError(LocalizableText("It must be no longer than 100 years."))
    return timedelta(seconds=seconds)


def read_moment(text: str) -> datetime:
    """Parse a date or a time, in UTC unless it has an offset; return it in UTC."""
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
    except ValueError:  # a month 13, an hour 25
        moment = None
    if moment is None:
        raise ValueUnreadableError(LocalizableText("A time is written as 2026-01-31 or 2026-01-31T14:05:00Z."))
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueUnreadableError(
            LocalizableText(
                "It must lie between the years %(first)s and %(last)s.", {"first": _FIRST_YEAR, "last": _LAST_YEAR}
            )
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


_ALL_FIELDS = (
    Field("state", read_state, "state:discarded,cancelled"),
    Field("queue", read_text, "queue:pipeline"),
    Field("kind", read_text, "kind:noop"),
    Field("tenant", read_text, "tenant:acme"),
    Field("tag", read_text, "tag:night"),
    # With a member's name after a dot: the value of the member.
    Field("meta", read_text, "meta.order:4711"),
    Field("error", read_text, "error:Timeout"),
    Field("fair_key", read_text, "fair_key:user-7", may_be_empty=True),
    Field("concurrency_key", read_text, "concurrency_key:account-7"),
    Field("unique_key", read_text, "unique_key:account-7"),
    Field("key", read_text, "key:order-4711"),
    Field("log", read_text, 'log:"connection reset"'),
    Field("id", read_uuid, "id:0199c0de-0000-7000-8000-000000000000"),
    Field("batch", read_uuid, "batch:0199c0de-0000-7000-8000-000000000000"),
    Field("parent", read_uuid, "parent:0199c0de-0000-7000-8000-000000000000"),
    Field("priority", read_small, "priority:>5", ("", *COMPARISONS)),
    Field("failed_attempts", read_small, "failed_attempts:>=2", ("", *COMPARISONS)),
    Field("age", read_duration, "age:>1h", COMPARISONS),
    Field("created", read_moment, "created:>2026-01-01", ("", *COMPARISONS)),
    Field("dead_letter", read_letter_reason, "dead_letter:attempts_exhausted,discarded"),
    Field("fingerprint", read_text, "fingerprint:0c1d2e3f4a5b6c7d", may_be_empty=True),
    Field("died", read_moment, "died:>2026-01-01", ("", *COMPARISONS)),
    Field("requeued", read_yes_or_no, "requeued:no"),
)
FIELDS: dict[str, Field] = {field.name: field for field in _ALL_FIELDS}
WORDS_FIELD = Field(WORDS, read_text, '"free words"')


def find_field(name: str, fields: Mapping[str, Field] = FIELDS) -> Field | None:
    """Return the field of a name as it is written, such as `state` or `meta.order`; None for an unknown one."""
    member = meta_member(name)
    found = fields.get(name.lower() if member is None else "meta")
    return found if found is None or member is None else replace(found, name=f"meta.{member}")
