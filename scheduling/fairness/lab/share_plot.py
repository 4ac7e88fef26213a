"""A plot of shares over time, with a panel for each policy: a tenant's share is a line, its entitlement dashed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from scheduling.fairness.lab.measures import PolicyMeasure, SimulatedTenantMeasure

# Distinguishable with colour blindness (Okabe and Ito), and by the number at the line's end.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#000000")
MOST_LINES = len(COLOURS)
ATTRIBUTES = 'aria-labelledby="title desc" font-family="sans-serif" font-size="12"'
WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 900, 220, 60, 170, 34, 34


def draw_shares(title: str, measures: Sequence[PolicyMeasure]) -> str:
    """Return an SVG plot of the tenants with the greatest entitlements; equal measures give an identical text."""
    height = TOP + len(measures) * (PANEL + BOTTOM + TOP) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {ATTRIBUTES}>',
        f'<title id="title">{escape(title or "Shares over time")}</title>',
        f'<desc id="desc">{escape(" ".join(_tell(measure) for measure in measures))}</desc>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title or "Shares over time")}</text>',
    ]
    for place, measure in enumerate(measures):
        lines += _draw_panel(measure, TOP + place * (PANEL + BOTTOM + TOP) + TOP)
    return "\n".join([*lines, "</svg>", ""])


def _chosen(measure: PolicyMeasure) -> list[SimulatedTenantMeasure]:
    return sorted(measure.tenants, key=lambda row: (-row.entitled_share, -row.share, row.name))[:MOST_LINES]


def _tell(measure: PolicyMeasure) -> str:
    """Return the panel as text, for screen readers."""
    parts = [f"{row.name} {row.share:.1%} of an entitled {row.entitled_share:.1%}" for row in _chosen(measure)]
    hidden = len(measure.tenants) - len(parts)
    more = f", and {hidden} tenants not shown" if hidden > 0 else ""
    return f"Under {measure.policy.value}: {', '.join(parts)}{more}."


def _draw_panel(measure: PolicyMeasure, top: int) -> Iterator[str]:
    right = WIDTH - RIGHT
    yield f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(measure.policy.value)}</text>'
    for percent in (0, 25, 50, 75, 100):
        y = _height(top, percent / 100)
        yield f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{percent} %</text>'
    yield f'<text x="{right}" y="{top + PANEL + 16}" text-anchor="end">{measure.seconds:.6g} s</text>'
    yield f'<text x="{LEFT}" y="{top + PANEL + 16}">0</text>'
    for number, row in enumerate(_chosen(measure)):
        colour = COLOURS[number]
        got = _points(top, [share for share, _ in row.series])
        due = _points(top, [share for _, share in row.series])
        yield f'<polyline points="{due}" fill="none" stroke="{colour}" stroke-dasharray="5 4" opacity="0.6"/>'
        yield f'<polyline points="{got}" fill="none" stroke="{colour}" stroke-width="2"/>'
        line = top + 12 + number * 17
        yield f'<line x1="{right + 12}" y1="{line}" x2="{right + 34}" y2="{line}" stroke="{colour}" stroke-width="3"/>'
        name = f"{number + 1} {escape(row.name[:16])}"
        yield f'<text x="{right + 40}" y="{line}" dominant-baseline="middle">{name}</text>'
        if row.series:
            y = _height(top, row.series[-1][0])
            yield f'<text x="{right + 3}" y="{y}" fill="{colour}" dominant-baseline="middle">{number + 1}</text>'


def _points(top: int, shares: Sequence[float]) -> str:
    step = (WIDTH - LEFT - RIGHT) / max(1, len(shares) - 1)
    return " ".join(f"{LEFT + place * step:.1f},{_height(top, share)}" for place, share in enumerate(shares))


def _height(top: int, share: float) -> str:
    return f"{top + PANEL * (1 - min(1.0, max(0.0, share))):.1f}"
