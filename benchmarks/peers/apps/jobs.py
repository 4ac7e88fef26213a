"""The peers' jobs, and the submissions of quiet tenants in a flood.

A job of a flood appends a line to the file that PEER_RECORD names, which is set only in flooded turns.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import cache

SEED = 20_261_126
NOISY, TENANTS = 0, 50
BULK_SECONDS = 0.015
IS_FLOODED = "PEER_RECORD" in os.environ


def noop() -> None:
    """Do nothing."""


def bulk(tenant: int) -> None:
    """Run a job of the tenant that floods."""
    time.sleep(BULK_SECONDS)
    record_bulk()


def record_bulk() -> None:
    """Record the end of a job of the tenant that floods."""
    _record(f"bulk {time.time()}")


def quick(tenant: int, submitted_at: float) -> None:
    """Run a job of a quiet tenant: record its start."""
    now = time.time()
    _record(f"quick {now} {now - submitted_at}")


def repeat(send: Callable[..., object], count: int, *arguments: int) -> None:
    """Send the same job repeatedly."""
    for _ in range(count):
        send(*arguments)


def trickle(submit: Callable[[int, float], object], *, seconds: float, per_second: float) -> int:
    """Call ``submit`` with a quiet tenant's number and the time, at random times until the end; return how often."""
    chance = random.Random(SEED)  # noqa: S311 - times, not secrets
    due = time.monotonic()
    end, sent = due + seconds, 0
    while (due := due + chance.expovariate(per_second)) < end:
        time.sleep(max(0.0, due - time.monotonic()))
        submit(chance.randrange(NOISY + 1, TENANTS), time.time())
        sent += 1
    return sent


def _record(line: str) -> None:
    os.write(_file(), f"{line}\n".encode())


@cache
def _file() -> int:
    return os.open(os.environ["PEER_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
