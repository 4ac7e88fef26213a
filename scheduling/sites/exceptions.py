"""Errors of sites."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class WitnessError(DomainError):
    """Raised if the witness does not answer, or its answer is no claim."""

    code, category, title = "witness_unusable", "unavailable", gettext_noop("The witness of the sites cannot be used")


class WitnessConflictError(DomainError):
    """Raised if another process has written the claim first."""

    code, category = "witness_conflict", "conflict"
    title = gettext_noop("Another process has changed the claim at the witness; try again.")


class SiteUnguardedError(DomainError):
    """Raised if a process has no SITE_WITNESS and its database is guarded by one."""

    code, category = "site_unguarded", "conflict"
    title = gettext_noop(
        "A witness guards this database, and SITE_WITNESS is not set. Set it as for the other processes, or run "
        "“manage.py promote” without it, which ends the guard."
    )


class SiteNotWritableError(DomainError):
    """Raised if a promoted database does not accept writes in time."""

    code, category = "site_not_writable", "unavailable"
    title = gettext_noop("The database did not accept writes in time; promote it, then run the command again.")


class StandbyError(DomainError):
    """Raised for a change at a standby."""

    code, category = "site_standby", "not_served"
    title = gettext_noop("This site is a read-only standby. Send the request to the active site.")


class OldDatabaseError(DomainError):
    """Raised if the database of the old site cannot be compared."""

    code, category = "old_database", "unavailable"
    title = gettext_noop("The database of the old site cannot be compared")
