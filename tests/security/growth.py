"""Whether work on outside text takes linear time: two sizes are compared, so that the machine's speed has no part."""

from __future__ import annotations

import time
from collections.abc import Callable

# Work that takes less is not compared: its time is mostly noise.
UNNOTICED_SECONDS = 0.05
# For a text four times as long, linear work takes 4 times as long, quadratic work 16 times.
MOST_GROWTH = 9


def grows_linearly(work: Callable[[str], object], text: str, quarter: str) -> bool:
    """Return whether the work on the text takes at most nine times the processor time of that on a quarter of it."""
    seconds = _seconds_of(work, text)
    return seconds < UNNOTICED_SECONDS or seconds < MOST_GROWTH * _seconds_of(work, quarter)


def _seconds_of(work: Callable[[str], object], text: str) -> float:
    """Return the least processor time of up to three runs; one run if the first is fast enough, or very slow."""
    least = float("inf")
    for _ in range(3):
        began = time.thread_time()
        work(text)
        least = min(least, time.thread_time() - began)
        if not UNNOTICED_SECONDS <= least < 5.0:
            break
    return least
