"""Command that opens access reviews, lists them and their lines, decides, refreshes and closes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from tenants.context import all_tenants
from tenants.management.base import PlatformCommand
from tenants.models import AccessReview, AccessReviewLine
from tenants.reviews.models import AccessDecision
from tenants.reviews.queries import with_counts
from tenants.reviews.service import close_review, decide, open_review, refresh_review
from tenants.tenancy.queries import find_tenant

_SHOWN = ("pk", "tenant", "opened_at", "opened_by", "closed_at", "closed_by")
_COUNTS = tuple(f"{decision}_lines" for decision in AccessDecision)
_LINE = ("pk", "kind", "subject", "role", "grants", "given_at", "last_used_at", "decision", "note", "decided_by")
_STEPS = ("list", "open", "lines", "keep", "revoke", "refresh", "close")
_MOST_LISTED = 200


class Command(PlatformCommand):
    help = (
        "Record that access was reviewed: open a review of a tenant or of the platform, list its lines, keep or "
        "revoke each, and close it. The decisions are those of the shell's user."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("step", choices=_STEPS, help="what to do")
        parser.add_argument("review", nargs="?", default="", help="id of the review")
        parser.add_argument("lines", nargs="*", help="ids of the lines to keep or revoke")
        parser.add_argument("--tenant", metavar="SLUG", help="the tenant to review (default: the platform)")
        parser.add_argument("--open", action="store_true", help="list undecided lines only; or keep all of them")
        parser.add_argument("--note", default="", help="why a line is kept or revoked")

    def handle(self, *args: Any, **options: Any) -> None:
        step = options["step"]
        with all_tenants():
            rows: list[Any] = self._lines(options) if step == "lines" else self._reviews(step, options)
            names = _LINE if step == "lines" else (*_SHOWN, *_COUNTS)
            facts = [{name: getattr(row, name) for name in names} for row in rows]
        self.show(options, facts, "\n".join("\t".join(map(str, line.values())) for line in facts))

    def _reviews(self, step: str, options: dict[str, Any]) -> list[Any]:
        rows = with_counts(AccessReview.objects.select_related("tenant")).order_by("-pk")
        if step == "list":
            return list(rows[:_MOST_LISTED])
        if step == "open":
            review = open_review(tenant=find_tenant(options["tenant"]) if options["tenant"] else None)
        elif step in ("keep", "revoke"):
            is_rest = options["open"] and step == "keep"
            lines = [line.pk for line in self._lines(options)] if is_rest else list(map(_id, options["lines"]))
            review = decide(review_id=_id(options["review"]), line_ids=lines, decision=step, note=options["note"])
        else:
            act = refresh_review if step == "refresh" else close_review
            review = act(review_id=_id(options["review"]))
        return [rows.get(pk=review.pk)]

    def _lines(self, options: dict[str, Any]) -> list[AccessReviewLine]:
        rows = AccessReviewLine.objects.filter(review=_id(options["review"])).order_by("pk")
        return list(rows.filter(decision=AccessDecision.OPEN) if options["open"] else rows)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError("Name the id of a review, and of its lines.") from error
