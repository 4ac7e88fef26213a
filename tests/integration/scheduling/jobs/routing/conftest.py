"""Two pools, each with a queue and a live worker, for rules that balance."""

from __future__ import annotations

import pytest

from scheduling.fleet import queue_consumers
from scheduling.fleet.queue_consumers import clear_loads
from scheduling.models import Queue, Worker
from scheduling.topology.service import create_queue, create_worker_pool
from tenants.context import all_tenants
from tenants.database.clock import read_moment


@pytest.fixture(autouse=True)
def _fresh_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loads be read once for each test, however slow the machine is."""
    monkeypatch.setattr(queue_consumers, "CACHED_SECONDS", 3_600.0)
    clear_loads()


@pytest.fixture
def east_and_west(db: None) -> tuple[Queue, Queue]:
    """Create two queues, each in its own pool with a live worker."""
    queues = []
    with all_tenants():
        now = read_moment()
        for name in ("east", "west"):
            pool = create_worker_pool(name=name)
            queues.append(create_queue(name=name, pool=pool))
            facts = {"pool": pool, "hostname": name, "started_at": now, "heartbeat_at": now}
            Worker.objects.create(**facts, pid=1, slots=2, queues=[name])
    return queues[0], queues[1]
