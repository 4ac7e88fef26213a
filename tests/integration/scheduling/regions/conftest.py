"""Two regions, each with a pool, a queue and a worker of four slots."""

from __future__ import annotations

import pytest

from scheduling.fleet.workers import register_worker
from scheduling.models import Queue, RoutingRule
from scheduling.regions import labels
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant


@pytest.fixture
def labels_change_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let labels change again at once."""
    monkeypatch.setattr(labels, "CHANGE_SECONDS", 0.0)


@pytest.fixture
def eu(db: None) -> Queue:
    """Return the queue of the pool in the region eu."""
    return _region("eu")


@pytest.fixture
def us(db: None) -> Queue:
    """Return the queue of the pool in the region us."""
    return _region("us")


def _region(name: str) -> Queue:
    create_worker_pool(name=f"{name}-pool", values={"region": name})
    queue = create_queue(name=f"{name}-queue", pool=f"{name}-pool")
    register_worker(pool_name=f"{name}-pool", hostname=name, pid=1, slots=4)
    return queue


def allow(tenant: Tenant, *regions: str, home: str = "") -> Tenant:
    """Let the tenant's jobs run in these regions only."""
    return update_tenant(tenant=tenant, changes={"allowed_regions": list(regions), "home_region": home})


def route(*queues: Queue, balance: str = "", position: int = 1, region: str = "") -> RoutingRule:
    """Add a rule that sends jobs of the kind noop to the queue, or balances them over the queues."""
    values = {"position": position, "kind": "noop", "balance": balance, "region": region}
    if balance:
        return create_routing_rule(values=values, targets={queue.pk: 1 for queue in queues})
    return create_routing_rule(values=values | {"queue": queues[0]})
