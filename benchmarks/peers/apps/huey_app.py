"""huey on Redis."""

from __future__ import annotations

import os

from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["PEER_REDIS_URL"], results=False)


@huey.task()
def noop() -> None:
    """Nothing."""


def enqueue(count: int) -> None:
    """Send so many."""
    for _ in range(count):
        noop()
