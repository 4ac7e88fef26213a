"""Pure control of admission under load: which part of each tier's new jobs is accepted, lowest tier first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WHOLE = 100
# Percentage points a second: a tier is refused within five seconds, and accepted again within twenty.
LOSS, GAIN = 20, 5


def adjust(
    admitted: Mapping[str, int], pressed: Sequence[str], relaxed: Sequence[str], *, seconds: float = 1.0
) -> dict[str, int]:
    """Return the part of each tier's new jobs to accept, in percent; tiers of which all are accepted are left out.

    ``pressed`` are the tiers that the policy refuses at the present load, ``relaxed`` those that it would not refuse at
    a slightly greater one, both from the lowest tier up. While any is pressed, the lowest that is not refused whole
    loses; else the highest of the relaxed gains. So no tier is refused before those below it, and the last one refused
    is accepted first.
    """
    now = dict(admitted)
    if pressed:
        loser = next((tier for tier in pressed if now.get(tier, WHOLE) > 0), None)
        if loser is not None:
            now[loser] = max(0, now.get(loser, WHOLE) - round(LOSS * seconds))
        return now
    gainer = next((tier for tier in reversed(relaxed) if now.get(tier, WHOLE) < WHOLE), None)
    if gainer is not None:
        now[gainer] += max(1, round(GAIN * seconds))
        if now[gainer] >= WHOLE:
            del now[gainer]
    return now
