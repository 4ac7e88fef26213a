"""Paths of SVG charts: lines and bars, and the top of their scale."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

# Units of the charts, as in parts/minute_chart.html: a bar is as wide as its minute, less a gap.
MINUTE_WIDTH, CHART_HEIGHT, BAR_GAP = 10, 160, 2


def draw_line(heights: Sequence[float | None], step: float, start: float = 0.0) -> str:
    """Return the SVG path of a line that is interrupted where a height is None."""
    runs: list[list[str]] = [[]]
    for index, height in enumerate(heights):
        if height is None:
            runs.append([])
        else:
            runs[-1].append(f"{start + index * step:.0f} {height:.1f}")
    # A single point is a line to itself, which is drawn as a dot.
    return " ".join(f"M{run[0]} L{' L'.join(run[1:] or run)}" for run in runs if run)


def draw_bar(index: int, below: float, height: float) -> str:
    """Return the SVG path of a bar of a chart in the minute of this index, empty without a height."""
    if not height:
        return ""
    x, width = index * MINUTE_WIDTH + BAR_GAP // 2, MINUTE_WIDTH - BAR_GAP
    return f"M{x} {CHART_HEIGHT - below:.1f}v-{height:.1f}h{width}v{height:.1f}z"


def round_up(most: float, steps: Sequence[int]) -> float:
    """Return the least number that is at least ``most`` and is one of ``steps`` times a power of ten."""
    power = 10.0 ** floor(log10(most)) if most > 0 else 1.0
    return next(step * power for step in steps if step * power >= most)
