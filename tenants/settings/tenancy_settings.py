"""The tenant settings that the tenants app declares."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.utils.translation import gettext_noop

from tenants.settings.schema import FORMATS, Setting, SettingGroup


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@FORMATS.checks("timezone")
def is_timezone(value: object) -> bool:
    """Return whether a text is a name in the IANA time zone database.

    It is True for other types, as JSON Schema requires.
    """
    return not isinstance(value, str) or value in _zones()


TIMEZONE = Setting(
    key="timezone",
    title=gettext_noop("Time zone"),
    help_text=gettext_noop(
        "A name of the IANA database, such as Europe/Berlin. It is the default of new schedules; the console "
        "shows times in UTC."
    ),
    schema={"type": "string", "format": "timezone", "maxLength": 64},
    default="UTC",
    effect=gettext_noop("Applies to schedules created later."),
)
_HOURS = {"type": ["integer", "null"], "minimum": 1, "maximum": 24}
_AT_ONCE = gettext_noop("Takes effect at once, for open sessions too.")
SESSION_HOURS = Setting(
    key="sessions.hours",
    title=gettext_noop("Lifetime of a session, in hours"),
    help_text=gettext_noop(
        "A member must log in again after this time. Empty: the platform's, which is 12 hours by default and is also "
        "the maximum."
    ),
    schema=_HOURS,
    default=None,
    effect=_AT_ONCE,
)
SESSION_IDLE_HOURS = Setting(
    key="sessions.idle_hours",
    title=gettext_noop("Idle time of a session, in hours"),
    help_text=gettext_noop(
        "A member must log in again after this time without a request. Empty: the platform's, which is 2 hours by "
        "default and is also the maximum."
    ),
    schema=_HOURS,
    default=None,
    effect=_AT_ONCE,
)
SETTINGS = SettingGroup(gettext_noop("General"), (TIMEZONE, SESSION_HOURS, SESSION_IDLE_HOURS))
