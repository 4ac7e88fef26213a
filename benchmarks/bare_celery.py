"""The least that Celery can be: one task that does nothing, acknowledged late, in JSON, without results.

`python -m celery -A benchmarks.bare_celery worker` runs it; REDIS_URL says where its broker is.
"""

from __future__ import annotations

import os

from celery import Celery

QUEUE = "bare-celery"

app = Celery("bare", broker=os.environ.get("REDIS_URL", ""), set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_default_queue=QUEUE,
)


@app.task(name="bare.noop")
def noop() -> None:
    """Nothing."""


def publish(count: int) -> None:
    """Send so many messages on one connection."""
    with app.producer_pool.acquire() as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
