"""Queries of sites: how far a standby lags behind, and whether the site may start work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext
from psycopg.rows import class_row

from scheduling.sites.models import Site
from tenants.database.clock import read_moment
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql

_READ = load_sql(__file__)["read_replication"]


@dataclass(frozen=True, slots=True)
class Replication:
    """State of the database as a standby.

    ``replayed_at`` is the commit of the last transaction that it has replayed, and ``lag_seconds`` the time since then:
    its rows are at most that old. Both are None before the first one. ``replayed`` is the end of the replayed log.
    """

    is_standby: bool
    replayed_at: datetime | None
    lag_seconds: float | None
    replayed: str | None


def is_standby_role() -> bool:
    """Return whether this process serves a standby."""
    return bool(platform_settings.SITE_ROLE == "standby")


def read_replication() -> Replication:
    """Return the state of the database as a standby."""
    found: Replication = fetch_one(_READ, {}, class_row(Replication))
    return found


def standby_words() -> str:
    """Return a sentence about the lag of this standby; an empty text at an active site."""
    if not is_standby_role():
        return ""
    lag = read_replication().lag_seconds
    if lag is None:
        return gettext("It has replayed no transaction yet. Changes are made at the active site.")
    return gettext(
        "It is read-only, and its rows are at most %(seconds)s s old. Changes are made at the active site."
    ) % {"seconds": f"{max(lag, 0.0):.1f}"}


def find_site_fault() -> tuple[bool, str]:
    """Return whether the site starts nothing now, and why its epoch was not renewed; an empty text if it was.

    The caller is in a scope.
    """
    row = Site.objects.filter(starts_until__isnull=False).first()
    if row is None or row.starts_until is None:
        return False, ""
    is_held = row.starts_until <= read_moment()
    return is_held, row.fault or (gettext("No dispatcher renews its epoch.") if is_held else "")
