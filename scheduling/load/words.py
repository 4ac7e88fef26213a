"""Words for load states and the values behind them, for pages, alerts and commands."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext

from scheduling.load.models import LoadState
from scheduling.load.rules import SIGNALS


def value_words(name: str, value: float) -> str:
    """Return a value with its name and unit, and the values from which the states begin."""
    signal = SIGNALS[name]
    return gettext("%(title)s: %(value)s %(unit)s (busy, overloaded, brown-out from %(thresholds)s)") % {
        "title": signal.title,
        "value": f"{value:,.4g}",
        "unit": signal.unit,
        "thresholds": " / ".join(f"{threshold:,g}" for threshold in signal.thresholds),
    }


def reason_words(row: LoadState) -> Iterator[str]:
    """Yield why the state is above normal, the worst first."""
    if row.forced_reason:
        yield gettext("forced until %(until)s by %(who)s: %(reason)s") % {
            "until": f"{row.forced_until:%F %H:%M} UTC",
            "who": row.forced_by,
            "reason": row.forced_reason,
        }
    yield from (value_words(name, value) for name, value in row.reasons.items())
