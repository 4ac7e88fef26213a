"""Reads of access reviews: the numbers of their lines by decision."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from tenants.models import AccessReview
from tenants.reviews.models import AccessDecision

COUNTS = {f"{decision}_lines": Count("lines", filter=Q(lines__decision=decision)) for decision in AccessDecision}


def with_counts(rows: QuerySet[AccessReview]) -> QuerySet[AccessReview]:
    """Return reviews with ``open_lines``, ``keep_lines``, ``revoke_lines`` and ``ended_lines``."""
    return rows.annotate(**COUNTS)


def count_decisions(review: AccessReview) -> dict[str, int]:
    """Return the number of lines of each decision."""
    found = dict(review.lines.values_list("decision").annotate(number=Count("pk")).order_by())
    return {decision.value: found.get(decision.value, 0) for decision in AccessDecision}
