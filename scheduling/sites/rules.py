"""Rules of epochs: which claim a site may write at the witness, and why it may not start work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# A site renews its epoch this often.
RENEW_SECONDS = 4.0
# After a failure it tries again this soon.
RETRY_SECONDS = 1.0
# A site that has not renewed for this time starts nothing.
HOLD_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A site and its epoch: what the witness and the site's own database store."""

    site: str
    epoch: int


class Hold(StrEnum):
    """The reason why a site may not renew its epoch, and starts nothing."""

    FOREIGN = "foreign"
    SUPERSEDED = "superseded"
    LOST = "lost"


def claim_to_renew(*, stored: Claim | None, found: Claim | None, site: str) -> Claim | Hold:
    """Return the claim that ``site`` may write over ``found`` at the witness, or why it may not.

    ``stored`` is the claim in the site's database, None before its first one; ``found`` is None if the witness has
    none. A database that another site has written, such as a promoted copy, renews nothing. A witness that has lost an
    epoch may have lost a higher one too.
    """
    if stored is not None and stored.site != site:
        return Hold.FOREIGN
    if found is None:
        return Claim(site, 1) if stored is None else Hold.LOST
    if stored is None or found.epoch > stored.epoch or (found.epoch == stored.epoch and found.site != site):
        return Hold.SUPERSEDED
    return stored if found.epoch == stored.epoch else Hold.LOST


def claim_to_promote(*, stored: Claim | None, found: Claim | None, site: str) -> Claim:
    """Return the claim of a promoted site: an epoch above every known one."""
    return Claim(site, 1 + max((claim.epoch for claim in (stored, found) if claim is not None), default=0))
