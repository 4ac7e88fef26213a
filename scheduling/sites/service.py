"""Promotion of a site: it takes the next epoch, and makes its database the one that accepts writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from django.db import connection
from django.db.models.functions import Now
from django.utils.translation import gettext

from scheduling.sites.exceptions import SiteNotWritableError
from scheduling.sites.models import ONLY_ID, Site
from scheduling.sites.queries import Replication, read_replication
from scheduling.sites.rules import HOLD_SECONDS, Claim, claim_to_promote
from scheduling.sites.witness import Reading, open_witness, read_claim, write_claim
from tenants.approvals.service import mark_used, require_approval
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.options import connection_options
from tenants.database.platform_settings import platform_settings
from tenants.models import ApprovalRequest

WRITABLE_SECONDS = 300.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion: the claim that it takes, what the site had before, and how long the old site may still start work.

    ``replication`` is the state of the database before it was promoted.
    """

    claim: Claim
    stored: Claim | None
    found: Claim | None
    wait_seconds: float
    replication: Replication

    @property
    def bound(self) -> str:
        """Return, in English, which work of the old site is missing."""
        if not self.replication.is_standby:
            return "The database accepts writes already: nothing is lost by this command."
        if self.replication.replayed_at is None:
            return "The standby has replayed no transaction, so what is lost is not known."
        return (
            f"Transactions that the old site committed after {self.replication.replayed_at:%F %T.%f} UTC are lost, "
            f"{self.replication.lag_seconds or 0:.1f} s ago at most."
        )


def plan_promotion(*, is_old_stopped: bool = False) -> Promotion:
    """Return what a promotion would do now, and change nothing; raise WitnessError if the witness cannot be read.

    The old site may start work for HOLD_SECONDS after the new epoch was taken, unless it has been stopped.
    """
    with all_tenants():
        row, replication = Site.objects.first(), read_replication()
    stored, found = row.claim if row else None, _read().claim
    claim = claim_to_promote(stored=stored, found=found, site=platform_settings.SITE_NAME)
    is_other_known = any(known is not None and known.site != claim.site for known in (stored, found))
    has_to_wait = platform_settings.SITE_WITNESS and is_other_known and not is_old_stopped
    return Promotion(claim, stored, found, HOLD_SECONDS if has_to_wait else 0.0, replication)


def promote(
    *,
    admin_url: str = "",
    is_old_stopped: bool = False,
    emergency: str = "",
    note: Callable[[str], object] = lambda _: None,
) -> Promotion:
    """Take the next epoch, wait until the old site starts nothing, promote the database, and let this site start work.

    With ``admin_url``, of a login that may call pg_promote(), the standby is promoted; without it another program must
    do so within WRITABLE_SECONDS. ``emergency`` is the reason to promote without the approval of a second person, which
    only the lost site could store. ``note`` receives each step. Raise WitnessError, WitnessConflictError, or
    SiteNotWritableError. Repeated after a failure, it takes a further epoch.
    """
    plan = plan_promotion(is_old_stopped=is_old_stopped)
    approval = None if emergency else _require_second_person(plan.claim)
    if platform_settings.SITE_WITNESS:
        write_claim(open_witness(platform_settings.SITE_WITNESS), plan.claim, _read().tag)
        note(f"The site {plan.claim.site} has the epoch {plan.claim.epoch}.")
    if plan.wait_seconds:
        note(f"Waiting {plan.wait_seconds:.0f} s, until the old site starts nothing.")
        # What it commits meanwhile may still arrive.
        time.sleep(plan.wait_seconds)
    with all_tenants():
        replication = read_replication()
    if replication.is_standby:
        note("Promoting the database." if admin_url else "Promote the database now; this command waits for it.")
        if admin_url:
            _promote_database(admin_url)
        _wait_until_writable()
    made = Promotion(plan.claim, plan.stored, plan.found, plan.wait_seconds, replication)
    _store(made, approval, emergency)
    return made


def _require_second_person(claim: Claim) -> ApprovalRequest | None:
    """Return the approval of a promotion, None if it needs none; raise ApprovalRequiredError without one."""
    with all_tenants():
        return require_approval(
            "promote", {"site": claim.site}, preview=gettext("Promote the site %(site)s.") % {"site": claim.site}
        )


def _read() -> Reading:
    return read_claim(open_witness(platform_settings.SITE_WITNESS)) if platform_settings.SITE_WITNESS else Reading()


def _promote_database(admin_url: str) -> None:
    with psycopg.connect(admin_url, **connection_options(), autocommit=True) as administrator:
        administrator.execute("SELECT pg_promote(false)")


def _wait_until_writable() -> None:
    deadline = time.monotonic() + WRITABLE_SECONDS
    while True:
        with all_tenants():
            if not read_replication().is_standby:
                break
        if time.monotonic() >= deadline:
            raise SiteNotWritableError
        time.sleep(_POLL_SECONDS)
    # Its session was read-only.
    connection.close()


def _store(made: Promotion, approval: ApprovalRequest | None, emergency: str) -> None:
    facts = {"epoch": made.claim.epoch, "lost_after": made.replication.replayed_at}
    with all_tenants():
        if approval is not None:
            mark_used(approval)
        row, _ = Site.objects.update_or_create(
            pk=ONLY_ID,
            defaults={
                "name": made.claim.site,
                "epoch": made.claim.epoch,
                # Nothing starts before a dispatcher has renewed the epoch.
                "starts_until": Now() if platform_settings.SITE_WITNESS else None,
                "renewed_at": None,
                "fault": "",
                "promoted_at": Now(),
                "lost_after": made.replication.replayed_at,
            },
        )
        record_audit(
            action="site.promoted",
            target=row,
            before={"site": made.stored.site, "epoch": made.stored.epoch} if made.stored else None,
            after={"site": made.claim.site, **facts},
            reason=emergency,
        )
