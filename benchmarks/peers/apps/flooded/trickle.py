"""Jobs of quiet tenants, one every now and then: the same moments for everybody."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

SEED = 20_261_126
NOISY = 0
TENANTS = 50


def trickle(submit: Callable[[int, float], object], *, seconds: float, per_second: float) -> int:
    """Call ``submit`` with a tenant's number and the moment, at random moments until the time is over; how often."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    due = time.monotonic()
    end, sent = due + seconds, 0
    while (due := due + chance.expovariate(per_second)) < end:
        time.sleep(max(0.0, due - time.monotonic()))
        submit(chance.randrange(NOISY + 1, TENANTS), time.time())
        sent += 1
    return sent
