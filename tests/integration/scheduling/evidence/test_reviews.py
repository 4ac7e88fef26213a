"""Access reviews in evidence packs: as they were at the end of the period, and the same bytes after later decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from scheduling.evidence.controls import TEMPLATES
from scheduling.evidence.packs import build_pack
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import AccessReview, AccessReviewLine, Tenant
from tenants.reviews.service import close_review, decide, open_review
from tests.integration.scheduling.evidence.test_packs import LONG_AGO, SOC2, contents, lines, seal, settled_at_once

pytestmark = pytest.mark.django_db(transaction=True)
settled = settled_at_once


def decide_on(review: AccessReview, subject: str, decision: str) -> None:
    with all_tenants():
        line = AccessReviewLine.objects.get(review=review, subject=subject)
        decide(review_id=review.pk, line_ids=[line.pk], decision=decision)


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("tenant", "lines", "kept", "revoked", "ended", "undecided")}


def test_pack_shows_reviews_of_the_period_as_they_were_at_its_end(acme: Tenant, globex: Tenant, tmp_path: Path) -> None:
    for name, role in (("olga", "owner"), ("bob", "developer"), ("carl", "viewer")):
        add_member(tenant=acme, user=User.objects.create_user(name), role=role)
    review = open_review(tenant=acme)
    open_review(tenant=globex)
    decide_on(review, "olga", "keep")
    decide_on(review, "bob", "revoke")
    until = seal()
    build_pack(tmp_path / "first", template=SOC2, since=LONG_AGO, until=until, tenant=acme)
    decide_on(review, "carl", "keep")
    with all_tenants():
        close_review(review_id=review.pk)
    later = seal()
    build_pack(tmp_path / "again", template=SOC2, since=LONG_AGO, until=until, tenant=acme)
    build_pack(tmp_path / "second", template=SOC2, since=until, until=later, tenant=acme)
    build_pack(tmp_path / "platform", template=TEMPLATES["iso27001"], since=LONG_AGO, until=later)

    (row,) = lines(tmp_path / "first", "access_reviews")
    assert numbers(row) == {"tenant": "acme", "lines": 3, "kept": 1, "revoked": 1, "ended": 0, "undecided": 1}
    assert (row["closed_at"], row["closed_by"], row["lines_sha256"]) == (None, None, None)
    assert contents(tmp_path / "first") == contents(tmp_path / "again")
    (row,) = lines(tmp_path / "second", "access_reviews")
    assert numbers(row) == {"tenant": "acme", "lines": 3, "kept": 2, "revoked": 1, "ended": 0, "undecided": 0}
    assert (row["opened_by"], row["closed_by"], len(row["lines_sha256"])) == ("system", "system", 64)
    assert [row["tenant"] for row in lines(tmp_path / "platform", "access_reviews")] == ["acme", "globex"]
    actions = {row["entry"]["action"] for row in lines(tmp_path / "second", "access_changes")}
    assert {"access_review.decided", "access_review.closed"} <= actions
