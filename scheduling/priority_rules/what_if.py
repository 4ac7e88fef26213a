"""What-if of a priority rule: how many jobs of the last hour it would have moved, and how waits would have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from scheduling.priority_rules.models import PriorityRule
from scheduling.priority_rules.queries import read_failing, terms_of
from scheduling.priority_rules.replays import PastStart, replay_line
from scheduling.priority_rules.rules import effects_of, move_of
from scheduling.shares.raw import fetch_rows
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.platform_settings import platform_settings
from tenants.database.sql import load_sql
from tenants.requests.features import require_feature

WINDOW = timedelta(hours=1)
MOST_JOBS, MOST_KINDS = 25_000, 20
SECOND_US = 1_000_000

_STARTS = load_sql(__file__)["find_starts"]


@dataclass(frozen=True, slots=True)
class KindWaits:
    """The waits of a kind's jobs in seconds, without and with the rule."""

    kind: str
    jobs: int
    moved: int
    mean_now: float
    mean_after: float
    p95_now: float
    p95_after: float


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What a rule would have done. ``covered`` jobs are those that it is about, ``moved`` those that start at another
    time; ``is_cut``: there were more jobs, of which the newest were replayed.
    """

    jobs: int
    covered: int
    moved: int
    is_cut: bool
    kinds: Sequence[KindWaits]


def what_if_rule(rule: PriorityRule) -> RuleEffect:
    """Replay the starts of the last hour without and with a rule, as if its load state had lasted all the time.

    Each line of a tenant keeps its starts; its jobs take them in another order. Other rules do not act, and failure
    shares are those of now. Nothing is written.
    """
    require_feature("what_if")
    with all_tenants():
        terms = [terms_of(rule)]
        effects = effects_of(terms, read_failing(terms), rule.from_level)
        values = {
            "floor": uuid7_floor(read_clock() - WINDOW),
            "limit": MOST_JOBS,
            "ageing_us": int(platform_settings.AGEING_SECONDS * SECOND_US),
        }
        rows = fetch_rows(_STARTS, values)
    lines: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    # Read with the newest first; equal places are taken in the order of the starts.
    for row in reversed(rows):
        lines[row.tenant_id, row.queue_id, row.fair_key].append(row)
    waits: dict[str, list[tuple[int, int]]] = defaultdict(list)
    covered = 0
    for line in lines.values():
        moves = [move_of(effects, kind=row.kind, tier=row.tier, tenant_id=row.tenant_id) for row in line]
        covered += sum(move is not None for move in moves)
        past = [
            PastStart(row.rank, row.available_us, row.dispatched_us, move.seconds * SECOND_US if move else 0)
            for row, move in zip(line, moves, strict=True)
        ]
        before = replay_line(past, is_moved=False)
        after = replay_line(past, is_moved=True) if any(moves) else before
        for row, now, then in zip(line, before, after, strict=True):
            waits[row.kind].append((now - row.available_us, then - row.available_us))
    kinds = sorted((_waits_of(kind, pairs) for kind, pairs in waits.items()), key=lambda one: (-one.moved, one.kind))
    moved = sum(one.moved for one in kinds)
    return RuleEffect(len(rows), covered, moved, len(rows) >= MOST_JOBS, kinds[:MOST_KINDS])


def _waits_of(kind: str, pairs: Sequence[tuple[int, int]]) -> KindWaits:
    now, after = sorted(now for now, _ in pairs), sorted(after for _, after in pairs)
    return KindWaits(
        kind,
        jobs=len(pairs),
        moved=sum(now != after for now, after in pairs),
        mean_now=_seconds(sum(now) / len(now)),
        mean_after=_seconds(sum(after) / len(after)),
        p95_now=_seconds(now[int(0.95 * (len(now) - 1))]),
        p95_after=_seconds(after[int(0.95 * (len(after) - 1))]),
    )


def _seconds(microseconds: float) -> float:
    return round(microseconds / SECOND_US, 3)
