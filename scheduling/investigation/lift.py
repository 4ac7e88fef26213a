"""Pure statistics of an investigation: which values explain the bad part of a sample, and which suspects come first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations, product
from math import log

type Values = tuple[tuple[str, str], ...]
# A value that explains less of the bad part, or whose share may differ by chance with p = 0.001, is left out.
LEAST_SHARE, LEAST_G = 0.2, 10.83
MOST_PAIRED = 3
# The weight of a change this long before the onset is half of that of one at the onset.
HALF_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Group:
    """Part of a sample with the same values by dimension: how much of it is bad, and how much is not."""

    values: Mapping[str, str]
    bad: float
    rest: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Values whose part of the sample is bad more often: ``lift`` times as often as the other parts.

    They have the parts ``share`` of what is bad and ``usual`` of the rest.
    """

    values: Values
    share: float
    usual: float
    lift: float

    @property
    def weight(self) -> float:
        """Return how much of the bad part the values explain, from 0 to 1."""
        return self.share * (1 - 1 / self.lift)


@dataclass(frozen=True, slots=True)
class Suspect:
    """What may be the cause. Without ``at`` it holds at the onset.

    ``names`` are those of the objects that it concerns; ``least`` is the weight of one that shares no name with the
    subject. ``ref`` is the row to look at, such as `audit:<id>`.
    """

    key: str
    title: str
    prior: float
    at: datetime | None = None
    names: AbstractSet[str] = frozenset()
    least: float = 0.1
    evidence: tuple[str, ...] = ()
    ref: str = ""

    def score(self, onset: datetime, names: AbstractSet[str]) -> float:
        """Return the prior, weighted by the time before the onset and by whether it concerns the subject."""
        before = max((onset - self.at).total_seconds(), 0.0) if self.at else 0.0
        return self.prior * (1.0 if self.names & names else self.least) / (1 + before / HALF_SECONDS)


def explain(groups: Sequence[Group], dimensions: Iterable[str]) -> list[Explanation]:
    """Return the values that explain the bad part of a sample, best first, and a pair instead of two that it beats.

    Values of several dimensions that have the same part of the sample are one explanation.
    """
    total = sum(group.bad for group in groups), sum(group.rest for group in groups)
    parts: dict[tuple[float, float], Values] = {}
    for dimension in dimensions:
        counts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for group in groups:
            if value := group.values.get(dimension):
                counts[value][0] += group.bad
                counts[value][1] += group.rest
        for value, (bad, rest) in counts.items():
            parts[bad, rest] = (*parts.get((bad, rest), ()), (dimension, value))
    found = [one for part, values in parts.items() if (one := _judge(values, *part, *total)) is not None]
    found.sort(key=lambda one: -one.weight)
    for one, other in combinations(found[:MOST_PAIRED], 2):
        values = (*one.values, *other.values)
        if len({dimension for dimension, _ in values}) == len(values):
            both = [group for group in groups if all(group.values.get(name) == value for name, value in values)]
            pair = _judge(values, sum(group.bad for group in both), sum(group.rest for group in both), *total)
            if pair is not None and pair.weight > max(one.weight, other.weight):
                return [pair, *(single for single in found if single not in (one, other))]
    return found


def _judge(values: Values, bad: float, rest: float, all_bad: float, all_rest: float) -> Explanation | None:
    other_bad, other_rest = all_bad - bad, all_rest - rest
    lift = (bad + 0.5) / (bad + rest + 1) / ((other_bad + 0.5) / (other_bad + other_rest + 1))
    if bad < LEAST_SHARE * all_bad or lift <= 1 or _g(bad, rest, other_bad, other_rest) < LEAST_G:
        return None
    return Explanation(values, bad / all_bad, rest / all_rest if all_rest else 0.0, lift)


def _g(bad: float, rest: float, other_bad: float, other_rest: float) -> float:
    """Return the statistic of the G-test of a table of two rows and columns."""
    rows, columns = (bad + rest, other_bad + other_rest), (bad + other_bad, rest + other_rest)
    cells = zip((bad, rest, other_bad, other_rest), product(rows, columns), strict=True)
    return 2 * sum(seen * log(seen * sum(rows) / (row * column)) for seen, (row, column) in cells if seen > 0)


def rank(
    suspects: Iterable[Suspect], onset: datetime, names: AbstractSet[str], most: int
) -> list[tuple[float, Suspect]]:
    """Return the suspects with the highest scores; those with one key are one, with the evidence of all."""
    merged: dict[str, tuple[float, Suspect]] = {}
    for one in suspects:
        score = one.score(onset, names)
        if one.key in merged:
            former, held = merged[one.key]
            better, worse = (one, held) if score > former else (held, one)
            evidence = tuple(dict.fromkeys((*better.evidence, *worse.evidence)))
            merged[one.key] = max(score, former), replace(better, evidence=evidence)
        else:
            merged[one.key] = score, one
    latest = sorted(merged.values(), key=lambda ranked: ranked[1].at or onset, reverse=True)
    return sorted(latest, key=lambda ranked: -ranked[0])[:most]
