"""Tier rows with two queues: a job goes to the one for the resource class of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from scheduling.dispatch.tick import run_tick
from scheduling.exceptions import CFSPlanInvalidError
from scheduling.fleet.queue_consumers import measure_queues
from scheduling.fleet.workers import register_worker
from scheduling.jobs.routing.service import Routes
from scheduling.kit import registry
from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor
from scheduling.models import BulkOperation, CFSPlan, Charge, LiveExecution, Queue, QueueStanding, WorkerPool
from scheduling.plans.service import CFS_PLANS, TierRow, update_cfs_plan
from scheduling.topology.service import create_queue, create_worker_pool
from scheduling.worker.preloading import kinds_served
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


class Waiting(AsyncTaskProcessor):
    kind = "waiting"

    async def process(self, context: AsyncJobContext) -> None:
        return None


@pytest.fixture(autouse=True)
def _waiting_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    point = EntryPoint("waiting", f"{__name__}:Waiting", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def coroutines(db: None) -> Queue:
    """Create a queue of an I/O pool that charges a hundredth; the tiers have one queue each."""
    with all_tenants():
        cloud().tiers.update(io_queue=None)
    create_worker_pool(name="waits", values={"resource_class": "io", "rate_milli": 10})
    return create_queue(name="coroutines", pool="waits")


def cloud() -> CFSPlan:
    return CFSPlan.objects.get(name="cloud")


def use(io_queue: Queue | None, weight: int = 7) -> None:
    """Let all tiers have this queue for asynchronous kinds."""
    rows = [
        TierRow(row.tier_id, row.queue_id, weight, None if io_queue is None else io_queue.pk)
        for row in cloud().tiers.all()
    ]
    update_cfs_plan(plan=cloud(), fields={}, tiers=rows)


def test_job_goes_to_the_queue_for_its_kinds_class(acme: Tenant, coroutines: Queue) -> None:
    (before,) = submit(acme, kind="waiting")
    use(coroutines)
    (waits,), (computes,) = submit(acme, kind="waiting"), submit(acme)
    assert (waits.queue_id, computes.queue_id) == (coroutines.pk, before.queue_id)
    with all_tenants():
        # The jobs of before are moved.
        assert BulkOperation.objects.filter(operation="reroute").exists()
        assert Routes.load_all()["team"].better_queue("waiting", {}, before.queue_id) == coroutines
        pools = [coroutines.pool_id, computes.queue.pool_id]
    served = [set(kinds_served(pool_id)) & {"waiting", "noop"} for pool_id in pools]
    assert served == [{"waiting"}, {"noop"}]


def test_dispatch_has_the_weight_of_the_row_and_the_rate_of_the_pool(acme: Tenant, coroutines: Queue) -> None:
    use(coroutines)
    register_worker(pool_name="waits", hostname="near", pid=1, slots=4)
    submit(acme, kind="waiting")
    assert run_tick(coroutines.pool_id).dispatched == 1
    with all_tenants():
        live = LiveExecution.objects.get()
        assert (live.queue_weight_milli, live.rate_milli) == (7_000, 10)
        assert Charge.objects.get().microseconds == live.predicted_us // 100


def test_second_queue_without_a_reader_raises_the_alarm(coroutines: Queue) -> None:
    measure_queues()
    assert QueueStanding.objects.get(queue=coroutines).unread_since is None
    use(coroutines)
    measure_queues()
    assert QueueStanding.objects.get(queue=coroutines).unread_since is not None


def test_versions_name_the_second_queue_only_where_there_is_one(coroutines: Queue) -> None:
    use(None, weight=3)
    use(coroutines)
    version, plain = cloud().versions.all()[:2]
    assert version.after["tiers.team"] == {**version.before["tiers.team"], "io_queue": "coroutines", "weight": 7}
    CFS_PLANS.roll_back(cloud(), plain.number, reason="over")
    assert set(cloud().tiers.values_list("io_queue", flat=True)) == {None}
    CFS_PLANS.roll_back(cloud(), version.number, reason="again")
    assert set(cloud().tiers.values_list("io_queue", flat=True)) == {coroutines.pk}


def test_queue_of_another_class_is_refused(coroutines: Queue) -> None:
    with pytest.raises(CFSPlanInvalidError, match="dataset belongs to no I/O pool"):
        use(Queue.objects.get(name="dataset"))
    rows = [TierRow(row.tier_id, coroutines.pk, 1) for row in cloud().tiers.all()]
    with pytest.raises(CFSPlanInvalidError, match="coroutines belongs to an I/O pool"):
        update_cfs_plan(plan=cloud(), fields={}, tiers=rows)
    with pytest.raises(CFSPlanInvalidError, match="does not exist"):
        use(Queue(pk=0))


def test_pool_whose_class_changed_is_found_at_the_next_edit(coroutines: Queue) -> None:
    use(coroutines)
    with all_tenants():
        WorkerPool.objects.filter(pk=coroutines.pool_id).update(resource_class="cpu")
    with pytest.raises(CFSPlanInvalidError):
        use(coroutines, weight=8)
