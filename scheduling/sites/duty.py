"""Duty of a dispatcher that renews the epoch of its site at the witness, and holds the site if it may not."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.db.models.functions import Least, Now
from django.utils.translation import gettext_noop

from scheduling.sites.exceptions import SiteUnguardedError, WitnessConflictError, WitnessError
from scheduling.sites.models import ONLY_ID, Site
from scheduling.sites.rules import HOLD_SECONDS, RENEW_SECONDS, RETRY_SECONDS, Claim, Hold, claim_to_renew
from scheduling.sites.witness import open_witness, read_claim, write_claim
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.translation import interpolate

logger = logging.getLogger(__name__)

_GUARD = load_sql(__file__)["guard_site"]
# A renewal of another dispatcher within this part of the interval is not repeated.
FRESH_PART = 0.8
HELD_TEXTS = {
    Hold.FOREIGN: gettext_noop("This database belongs to the site %(owner)s, and this process to %(site)s."),
    Hold.SUPERSEDED: gettext_noop("The site %(holder)s has the epoch %(epoch)s at the witness."),
    Hold.LOST: gettext_noop("The witness has lost the epoch %(stored)s of this site."),
}


def guard_site() -> None:
    """Hold the site until its first renewal, if a witness is configured and guarded it not before.

    Raise SiteUnguardedError if none is configured and one guards the database.
    """
    with all_tenants():
        if platform_settings.SITE_WITNESS:
            execute(_GUARD, {"name": platform_settings.SITE_NAME})
        elif Site.objects.filter(starts_until__isnull=False).exists():
            raise SiteUnguardedError


class SiteWatch:
    """Duty that renews the epoch every RENEW_SECONDS, or tries again after RETRY_SECONDS."""

    def __init__(self) -> None:
        self._is_failed = False

    def interval_seconds(self) -> float:
        """Return the seconds until the next attempt."""
        return RETRY_SECONDS if self._is_failed else RENEW_SECONDS

    def take_turn(self) -> None:
        """Renew the epoch, unless no witness is configured or another dispatcher has renewed it just before."""
        if not platform_settings.SITE_WITNESS:
            return
        with all_tenants():
            row, began_at = Site.objects.get(pk=ONLY_ID), read_clock()
        if row.renewed_at is not None and not row.fault:
            age = (began_at - row.renewed_at).total_seconds()
            if 0 <= age < FRESH_PART * RENEW_SECONDS:
                return
        try:
            held = renew(row, began_at)
            self._is_failed = bool(held)
        except WitnessConflictError:
            # Another dispatcher has renewed, or another site was promoted: the next turn tells.
            self._is_failed = True
        except WitnessError as error:
            self._is_failed = True
            note_fault(row, str(error))
            logger.warning("site.not_renewed", exc_info=True)


def renew(row: Site, began_at: datetime) -> str:
    """Renew the epoch at the witness; if the site may not, hold it at once, and return why.

    ``began_at`` is the time by the database's clock before the witness was read: the site may start work for
    HOLD_SECONDS from then. Raise WitnessError or WitnessConflictError.
    """
    witness, site = open_witness(platform_settings.SITE_WITNESS), platform_settings.SITE_NAME
    found = read_claim(witness)
    claim = claim_to_renew(stored=row.claim, found=found.claim, site=site)
    if isinstance(claim, Hold):
        holder = found.claim or Claim("", 0)
        values = {
            "owner": row.name,
            "site": site,
            "holder": holder.site,
            "epoch": holder.epoch,
            "stored": row.epoch,
        }
        text = interpolate(HELD_TEXTS[claim], values)
        note_fault(row, text, is_held=True)
        logger.error("site.held", extra={"reason": text})
        return text
    write_claim(witness, claim, found.tag)
    until = began_at + timedelta(seconds=HOLD_SECONDS)
    with all_tenants():
        _unchanged(row).update(name=claim.site, epoch=claim.epoch, starts_until=until, renewed_at=began_at, fault="")
    return ""


def note_fault(row: Site, fault: str, *, is_held: bool = False) -> None:
    """Store why the epoch was not renewed; with ``is_held`` nothing starts from now on."""
    changes = {"starts_until": Least("starts_until", Now())} if is_held else {}
    with all_tenants():
        _unchanged(row).update(fault=fault[:500], **changes)


def _unchanged(row: Site) -> QuerySet[Site]:
    """Return the row if no promotion has changed it since it was read."""
    return Site.objects.filter(pk=ONLY_ID, epoch=row.epoch, name=row.name)
