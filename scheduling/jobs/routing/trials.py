"""Evaluation of the routing rules for a hypothetical job: the match, and why earlier rules do not match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduling.exceptions import TierNotFoundError
from scheduling.jobs.routing.service import Routes, RuleMatch
from scheduling.regions.rules import ANYWHERE, Residency
from tenants.exceptions import DomainError
from tenants.models import Tier


@dataclass(frozen=True, slots=True)
class RouteTrial:
    """The result of routing a hypothetical job: its queue or the refusal, possible queues, and the evaluated rules.

    ``choice`` is what the first event of the job would say about a strategy's choice; empty without one.
    """

    queue: str | None
    refusal: str
    detail: str
    choices: Sequence[str]
    rules: Sequence[RuleMatch]
    choice: Mapping[str, str] = field(default_factory=dict)


def try_route(
    *,
    kind: str,
    tier: str,
    payload: Mapping[str, Any],
    queue: str | None = None,
    tags: Sequence[str] = (),
    residency: Residency = ANYWHERE,
) -> RouteTrial:
    """Route a hypothetical job as a submission would; store nothing. Raise TierNotFoundError for an unknown tier."""
    if not Tier.objects.filter(pk=tier).exists():
        raise TierNotFoundError("There is no tier %(tier)r.", {"tier": tier})
    routes = Routes.load(tier).within(residency)
    rule_matches = routes.trace(kind, payload)
    choices = routes.choices(kind, payload)
    try:
        found = routes.route(kind, payload, queue, tags)
    except DomainError as refusal:
        return RouteTrial(None, refusal.code, refusal.detail, choices, rule_matches)
    return RouteTrial(found.queue.name, "", "", choices, rule_matches, found.facts)
