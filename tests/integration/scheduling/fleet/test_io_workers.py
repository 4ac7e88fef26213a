"""Registration of workers of I/O pools."""

from __future__ import annotations

import pytest

from scheduling.conf import UPKEEP_QUEUE
from scheduling.fleet.workers import Registration, WorkerPoolUnfitError, register_worker
from scheduling.kit import registry
from scheduling.models import Queue, Worker, WorkerPool
from scheduling.topology.service import create_worker_pool
from tenants.context import all_tenants

pytestmark = pytest.mark.django_db


def register(pool: str, *, needs_io: bool = False) -> Registration:
    return register_worker(pool_name=pool, hostname="here", pid=1, slots=500, needs_io=needs_io)


@pytest.fixture
def io_pool() -> WorkerPool:
    return create_worker_pool(name="waiting", values={"resource_class": "io", "memory_mib": 512})


def test_worker_of_an_io_pool_announces_asynchronous_kinds_only(io_pool: WorkerPool) -> None:
    registration = register("waiting", needs_io=True)
    assert (registration.is_io, registration.memory_mib) == (True, 512)
    assert {registry.resource_class(kind) for kind in registration.kinds} == {"io"}
    with all_tenants():
        assert Worker.objects.get(pk=registration.worker_id).kinds == list(registration.kinds)
    assert set(registration.kinds) < set(register("default").kinds)


def test_worker_of_a_cpu_pool_has_no_processes_to_share(io_pool: WorkerPool) -> None:
    with pytest.raises(WorkerPoolUnfitError):
        register("default", needs_io=True)


def test_io_pool_with_the_queue_of_upkeep_gets_no_worker(io_pool: WorkerPool) -> None:
    with all_tenants():
        Queue.objects.filter(name=UPKEEP_QUEUE).update(pool=io_pool)
    with pytest.raises(WorkerPoolUnfitError):
        register("waiting")
    with all_tenants():
        assert not Worker.objects.filter(pool=io_pool).exists()
