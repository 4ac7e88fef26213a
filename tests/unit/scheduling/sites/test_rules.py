"""Rules of epochs."""

from __future__ import annotations

import pytest

from scheduling.sites.rules import Claim, Hold, claim_to_promote, claim_to_renew


@pytest.mark.parametrize(
    ("stored", "found", "answer"),
    [
        (None, None, Claim("a", 1)),
        (Claim("a", 3), Claim("a", 3), Claim("a", 3)),
        # Another database of the same site: it must be promoted to renew.
        (None, Claim("a", 3), Hold.SUPERSEDED),
        (Claim("a", 3), Claim("b", 4), Hold.SUPERSEDED),
        (Claim("a", 3), Claim("b", 3), Hold.SUPERSEDED),
        (Claim("a", 3), Claim("a", 4), Hold.SUPERSEDED),
        (Claim("a", 3), None, Hold.LOST),
        (Claim("a", 3), Claim("a", 2), Hold.LOST),
        (Claim("b", 3), Claim("b", 3), Hold.FOREIGN),
        (Claim("b", 3), None, Hold.FOREIGN),
    ],
)
def test_renewal_is_allowed_for_the_stored_claim_only(
    stored: Claim | None, found: Claim | None, answer: Claim | Hold
) -> None:
    assert claim_to_renew(stored=stored, found=found, site="a") == answer


def test_promotion_takes_an_epoch_above_all_known_ones() -> None:
    assert claim_to_promote(stored=Claim("a", 3), found=Claim("c", 7), site="b") == Claim("b", 8)
    assert claim_to_promote(stored=Claim("a", 3), found=None, site="b") == Claim("b", 4)
    assert claim_to_promote(stored=None, found=None, site="b") == Claim("b", 1)


def test_two_sites_never_renew_the_same_witness() -> None:
    found = Claim("b", 4)
    for stored in (None, *(Claim(site, epoch) for site in "ab" for epoch in range(1, 6))):
        renewals = [claim_to_renew(stored=stored, found=found, site=site) for site in "ab"]
        assert [one for one in renewals if isinstance(one, Claim)] in ([], [found])
