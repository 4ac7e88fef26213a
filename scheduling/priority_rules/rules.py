"""Pure rules of priority under load: which rules act, whom they concern, and by how much they move a job.

A rule never changes the order between tenants: a tenant's jobs only exchange their places in its own line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from scheduling.fairness.shares import Move

# The greatest move of a job, by all rules together.
MOST_SECONDS = 300
# Only the first jobs of a line are moved: the backlog behind them is neither read nor written.
LINE_JOBS = 200


class PriorityTerms(NamedTuple):
    """The terms of a rule; an empty kind or tier stands for every one, a failure share of 0 for any."""

    name: str
    from_level: int
    kind: str
    tier: str
    failure_percent: int
    offset_seconds: int


class Effect(NamedTuple):
    """What a rule does now: it moves the jobs of one kind, of a tier or a tenant if these are given."""

    rule: str
    kind: str
    tier: str | None
    tenant_id: UUID | None
    offset_seconds: int

    def covers(self, kind: str, tier: str, tenant_id: UUID) -> bool:
        """Return whether it moves the jobs of this kind, tier and tenant."""
        return self.kind == kind and self.tier in (None, tier) and self.tenant_id in (None, tenant_id)


type Failing = Mapping[tuple[UUID, str], float]


def effects_of(rules: Iterable[PriorityTerms], failing: Failing, level: int) -> list[Effect]:
    """Return what the rules do at a load state.

    ``failing`` has the failure shares in percent of the kinds of tenants that fail often.
    """
    effects = []
    for rule in rules:
        if level < rule.from_level:
            continue
        tier = rule.tier or None
        if not rule.failure_percent:
            effects.append(Effect(rule.name, rule.kind, tier, None, rule.offset_seconds))
            continue
        effects += [
            Effect(rule.name, kind, tier, tenant_id, rule.offset_seconds)
            for (tenant_id, kind), percent in failing.items()
            if percent > rule.failure_percent and rule.kind in ("", kind)
        ]
    return effects


def move_by(effects: Sequence[Effect]) -> Move | None:
    """Return by how much these effects together move a job; None if they do not."""
    seconds = max(-MOST_SECONDS, min(MOST_SECONDS, sum(effect.offset_seconds for effect in effects)))
    return Move(seconds, tuple(effect.rule for effect in effects)) if seconds else None


def move_of(effects: Iterable[Effect], *, kind: str, tier: str, tenant_id: UUID) -> Move | None:
    """Return by how much a job is moved; None if no rule moves it."""
    return move_by([effect for effect in effects if effect.covers(kind, tier, tenant_id)])
