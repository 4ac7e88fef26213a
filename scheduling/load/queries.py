"""Queries of the load states; the cached one costs a look-up in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from scheduling.fairness.admission import WHOLE
from scheduling.load.models import PLATFORM, POOL, Action, LoadState, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.words import reason_words
from scheduling.topology.models import WorkerPool
from tenants.cache.shared_cache import SharedCache
from tenants.context import all_tenants
from tenants.database.clock import read_clock


@dataclass(frozen=True, slots=True)
class Policy:
    """A shedding rule in force; an empty tier or kind stands for every one."""

    action: str
    from_level: int
    tier: str = ""
    kind: str = ""
    feature: str = ""
    delay_seconds: int = 0

    def covers(self, kind: str, tier: str) -> bool:
        """Return whether the rule is about a new job of this kind and tier."""
        is_about_jobs = self.action != Action.OFF
        return is_about_jobs and self.kind in ("", kind) and self.tier in ("", tier)


@dataclass(frozen=True, slots=True)
class LoadView:
    """What applies now: states above normal and parts of jobs accepted, by scope; rules in order; pools by id."""

    levels: Mapping[str, Level]
    admissions: Mapping[str, Mapping[str, int]]
    policies: Sequence[Policy]
    pools: Mapping[int, str]

    def level(self, pool: str = "") -> Level:
        """Return the state of the platform, or of a pool: the worse of the pool's and the platform's."""
        platform = self.levels.get(PLATFORM, Level.NORMAL)
        return max(platform, self.levels.get(f"{POOL}{pool}", Level.NORMAL)) if pool else platform

    def level_of_pool(self, pool_id: int) -> Level:
        """Return the state of the pool with this id."""
        return self.level(self.pools.get(pool_id, "")) if self.levels else Level.NORMAL

    def admitted(self, pool_id: int, tier: str) -> int:
        """Return the part of a tier's new jobs in a pool that is accepted, in percent."""
        scopes = (PLATFORM, f"{POOL}{self.pools.get(pool_id, '')}")
        return min(self.admissions.get(scope, {}).get(tier, WHOLE) for scope in scopes)


def list_states() -> Sequence[LoadState]:
    """Return the states, that of the platform first. The caller is in the scope of all tenants."""
    return sorted(LoadState.objects.all(), key=lambda row: (row.scope != PLATFORM, row.scope))


def list_loaded(now: datetime) -> list[tuple[LoadState, Level, list[str]]]:
    """Return the states above normal, and those that are forced, each with its reasons in words."""
    states = [(row, row.applying(now)) for row in list_states()]
    return [(row, level, list(reason_words(row))) for row, level in states if level or row.forced_reason]


def current_load() -> LoadView:
    """Return the states that apply, at most two cache periods old."""
    return _kept.get("", _read_document)


def read_policies() -> list[Policy]:
    """Return the enabled rules in their order. The caller is in the scope of all tenants."""
    rows = SheddingRule.objects.filter(is_enabled=True).order_by("position")
    return [
        Policy(row.action, row.from_level, row.tier_id or "", row.kind, row.feature, row.delay_seconds) for row in rows
    ]


def _read_document() -> dict[str, Any]:
    with all_tenants():
        now, rows = read_clock(), list_states()
        levels = {row.scope: int(level) for row in rows if (level := row.applying(now))}
        # Without a state above normal nothing is refused, delayed or switched off.
        return {
            "levels": levels,
            "admissions": {row.scope: row.admitted for row in rows if row.admitted} if levels else {},
            "policies": [asdict(policy) for policy in read_policies()] if levels else [],
            "pools": list(WorkerPool.objects.values_list("pk", "name")) if levels else [],
        }


def _decode(document: Mapping[str, Any]) -> LoadView:
    levels = {scope: Level(level) for scope, level in document["levels"].items()}
    policies = [Policy(**facts) for facts in document["policies"]]
    return LoadView(levels, document["admissions"], policies, dict(document["pools"]))


_kept: SharedCache[LoadView] = SharedCache("load", _decode)
