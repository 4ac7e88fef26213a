"""Migrations of data: what they change in an installation that is in use, and when they may be reversed."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader

from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.jobs.routing.service import Routes
from scheduling.models import CFSPlan, Drain, Execution, LiveExecution, Queue, Schedule, WorkerPool
from scheduling.plans.service import CFS_PLANS, TierRow, update_cfs_plan
from scheduling.schedules.definitions import create_schedule
from scheduling.stops.pauses import drain_queue, pause_queue
from scheduling.topology.service import create_queue, create_routing_rule, update_queue, update_worker_pool
from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import reload, submit

RATES, IO_POOL = "0005_pool_classes_and_rates", "0009_io_pool"


@pytest.mark.django_db
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("is_settled", [False, True])
def test_rates_of_executions_are_not_dropped(acme: Tenant, pool: WorkerPool, *, is_settled: bool) -> None:
    editor: Any = SimpleNamespace(connection=connection)
    apps = MigrationLoader(connection).project_state([("scheduling", RATES)]).apps
    refuse = import_module(f"scheduling.migrations.{RATES}").refuse_other_rates
    refuse(apps, editor)
    update_worker_pool(pool=pool, changes={"rate_milli": 10})
    submit(acme)
    assert run_tick(pool.pk).dispatched == 1
    if is_settled:
        with all_tenants():
            live = LiveExecution.objects.get()
        settle([Settlement.completed(live.pk, live.fence, None)])
        with all_tenants():
            assert Execution.objects.get().rate_milli == 10
    with pytest.raises(IrreversibleError, match="another rate"):
        refuse(apps, editor)


def change_io_pool(change: str) -> None:
    """Run a function of the migration of the pool; the tables stay those of the code that the tests run."""
    owner, module = connections[OWNER_ALIAS], import_module(f"scheduling.migrations.{IO_POOL}")
    apps = MigrationLoader(owner).project_state([("scheduling", IO_POOL)]).apps
    with owner.schema_editor() as editor:
        editor.execute(module.DISABLE)
        getattr(module, change)(apps, editor)
        editor.execute(module.ENABLE)
    owner.close()


@pytest.fixture
def before_io_pool(transactional_db: None) -> None:
    """Reverse the migration for the test."""
    change_io_pool("remove_pool")


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_tiers_queues_keep_their_jobs_and_get_a_second_queue(before_io_pool: None, acme: Tenant) -> None:
    cloud = CFSPlan.objects.get(name="cloud")
    rows = {row.tier_id: row for row in cloud.tiers.all()}
    own = create_queue(name="own", pool="default")
    rows["sandbox"].queue = own
    tiers = [TierRow(row.tier_id, row.queue_id, row.weight + 1) for row in rows.values()]
    update_cfs_plan(plan=cloud, fields={}, tiers=tiers)
    computes, waits = submit(acme)[0], submit(acme, kind="http_call", payload={"url": "https://example.com/"})[0]
    first = cloud.versions.get(number=1)
    assert first.content["tiers"]["team"] == {"queue": "workflow_team", "weight": 2}
    assert [reload(job).queue.name for job in (computes, waits)] == ["workflow_team"] * 2

    change_io_pool("add_pool")
    assert [reload(job).queue.name for job in (computes, waits)] == ["tasks_team"] * 2
    (waits,) = submit(acme, kind="http_call", payload={"url": "https://example.com/"})
    assert (waits.queue.name, waits.queue.pool.resource_class) == ("workflow_team", "io")
    assert cloud.versions.get(number=2).content == CFS_PLANS.describe(cloud)
    with pytest.raises(IrreversibleError, match="has had jobs"):
        change_io_pool("remove_pool")
    CFS_PLANS.roll_back(cloud, 1, reason="over")
    assert {row.tier_id: [queue.name for queue in row.queues] for row in cloud.tiers.all()} == {
        tier: [f"tasks_{tier}", f"workflow_{tier}"] for tier in rows
    }


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_what_names_a_tiers_queue_follows_its_jobs(before_io_pool: None, acme: Tenant) -> None:
    queue = Queue.objects.get(name="workflow_team")
    create_routing_rule(values={"position": 1, "kind": "fail", "queue": queue})
    drain_queue(queue=Queue.objects.get(name="workflow"))
    update_queue(queue=queue, changes={"cap": 3})
    pause_queue(queue=queue, reason="rest")
    for kind in ("noop", "fail"):
        create_schedule(tenant=acme, values={"name": kind, "kind": kind, "queue": queue.name, "cron": "0 0 * * *"})
    change_io_pool("add_pool")
    with all_tenants():
        assert dict(Schedule.objects.values_list("name", "queue")) == {"noop": "", "fail": "tasks_team"}
        assert set(Drain.objects.values_list("name", flat=True)) == {"tasks", "workflow"}
        limits = Queue.objects.filter(name__endswith="_team").values_list("name", "cap", "is_paused", "pause_reason")
        assert set(limits) == {(name, 3, True, "rest") for name in ("tasks_team", "workflow_team")}
        assert Routes.load("team").queue_for("fail", {}, "tasks_team") == queue
