"""Queries of the load states; the cached one costs a look-up in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduling.load.models import PLATFORM, POOL, LoadState
from scheduling.load.rules import Level
from scheduling.load.words import reason_words
from tenants.cache.shared_cache import SharedCache
from tenants.context import all_tenants
from tenants.database.clock import read_clock


@dataclass(frozen=True, slots=True)
class LoadView:
    """The states that apply now, by scope."""

    levels: Mapping[str, Level]

    def level(self, pool: str = "") -> Level:
        """Return the state of the platform, or of a pool: the worse of the pool's and the platform's."""
        platform = self.levels.get(PLATFORM, Level.NORMAL)
        return max(platform, self.levels.get(f"{POOL}{pool}", Level.NORMAL)) if pool else platform


def list_states() -> Sequence[LoadState]:
    """Return the states, that of the platform first. The caller is in the scope of all tenants."""
    return sorted(LoadState.objects.all(), key=lambda row: (row.scope != PLATFORM, row.scope))


def list_loaded() -> list[tuple[LoadState, Level, list[str]]]:
    """Return the states above normal, and those that are forced, each with its reasons in words."""
    with all_tenants():
        now = read_clock()
        states = [(row, row.applying(now)) for row in list_states()]
    return [(row, level, list(reason_words(row))) for row, level in states if level or row.forced_reason]


def current_load() -> LoadView:
    """Return the states that apply, at most two cache periods old."""
    return _kept.get("", _read_document)


def _read_document() -> dict[str, int]:
    with all_tenants():
        now = read_clock()
        return {row.scope: int(level) for row in list_states() if (level := row.applying(now))}


def _decode(document: Mapping[str, int]) -> LoadView:
    return LoadView({scope: Level(level) for scope, level in document.items()})


_kept: SharedCache[LoadView] = SharedCache("load", _decode)
