"""The check of locked tenants, by what the dispatchers have noted."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext

from scheduling.selectors.locked_tenants import LockedTenant
from scheduling.services.diagnosis_check import Check, State


def check_locked_tenants(locked: Sequence[LockedTenant]) -> Check:
    """Check that no transaction holds rows of a tenant, so that the dispatchers leave it out."""
    name = gettext("locked tenants")
    if not locked:
        return Check(name, State.OK, gettext("no transaction holds up a tenant"))
    held = [f"{one.slug} ({one.since.isoformat(timespec='seconds')}, pid {one.server_pid or '?'})" for one in locked]
    return Check(
        name,
        State.WARNING,
        gettext("rows are locked by another transaction since: %(tenants)s") % {"tenants": ", ".join(held)},
        gettext("Find the server's process in pg_stat_activity, and end it if it is not needed. Other tenants go on."),
    )
