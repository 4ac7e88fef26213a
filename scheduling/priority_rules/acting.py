"""The rules that act now, by pool: a duty of each dispatcher reads them, and its ticks find them in memory.

They order the jobs of one tenant only, so two dispatchers that know different ones share out the slots alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduling.load.models import KNOWN_FOR
from scheduling.load.queries import current_load
from scheduling.priority_rules.queries import read_failing, read_rules
from scheduling.priority_rules.rules import Effect, Failing, PriorityTerms, effects_of
from tenants.context import all_tenants

READ_SECONDS = 1.0
# The failure shares are sums over minutes.
FAILING_SECONDS = 10.0


@dataclass(slots=True)
class _Acting:
    by_pool: Mapping[int, Sequence[Effect]] = field(default_factory=dict)
    read_at: float = 0.0


_acting = _Acting()


def acting_effects(pool_id: int) -> Sequence[Effect]:
    """Return what rules do in a pool; nothing at a normal load, nor if it was not read for KNOWN_FOR."""
    by_pool = _acting.by_pool
    if not by_pool or time.monotonic() - _acting.read_at > KNOWN_FOR.total_seconds():
        return ()
    return by_pool.get(pool_id, ())


class PriorityWatch:
    """Duty that keeps the acting rules; while no load state is above normal it costs a look-up in memory."""

    def __init__(self) -> None:
        self._failing: Failing = {}
        self._failing_at = -FAILING_SECONDS

    def take_turn(self) -> None:
        """Read which rules act in which pool."""
        load = current_load()
        by_pool: dict[int, Sequence[Effect]] = {}
        if load.levels:
            with all_tenants():
                rules = read_rules()
                failing = self._read_failing(rules)
            effects = {pool_id: effects_of(rules, failing, load.level_of_pool(pool_id)) for pool_id in load.pools}
            by_pool = {pool_id: found for pool_id, found in effects.items() if found}
        _acting.by_pool, _acting.read_at = by_pool, time.monotonic()

    def _read_failing(self, rules: list[PriorityTerms]) -> Failing:
        if time.monotonic() - self._failing_at >= FAILING_SECONDS:
            self._failing, self._failing_at = read_failing(rules), time.monotonic()
        return self._failing
