"""Added queues and pools: their clocks, names and audit entries; and rows without a clock."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from scheduling.dispatch.tick import run_tick
from scheduling.exceptions import CFSPlanInvalidError
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import CFSPlan, PoolClock, Queue, QueueClock, Worker, WorkerPool
from scheduling.plans.service import activate_cfs_plan
from scheduling.topology.service import (
    create_queue,
    create_routing_rule,
    create_worker_pool,
    update_queue,
    update_worker_pool,
)
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db


def entry_of(action: str, **others: object) -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.get(action=action, **others)


def run_json(*arguments: str) -> Any:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_jobs_of_a_new_queue_of_a_new_pool_are_dispatched(acme: Tenant) -> None:
    pool = create_worker_pool(name="far", reason="a second data centre")
    queue = create_queue(name="far-queue", pool="far")
    create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    assert register_worker(pool_name="far", hostname="far", pid=1, slots=1).queue_names == ("far-queue",)
    (job,) = submit(acme)
    assert job.queue_id == queue.pk
    assert run_tick(pool.pk).dispatched == 1


def test_new_queue_of_a_used_pool_earns_no_credit(acme: Tenant, worker: Registration, pool: WorkerPool) -> None:
    with all_tenants():
        PoolClock.objects.filter(pool=pool).update(virtual_time=9_000_000)
    queue = create_queue(name="late", pool=pool)
    create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    submit(acme)
    assert run_tick(pool.pk).dispatched == 1
    assert QueueClock.objects.get(queue=queue).vruntime >= 9_000_000


def test_audit_entry_contains_values_and_reason() -> None:
    pool = create_worker_pool(name="far", values={"memory_mib": 256}, reason="small machines")
    create_queue(name="slow", pool=pool, values={"weight": 3, "cap": 2}, reason="scans")
    made, added = entry_of("worker_pool.created"), entry_of("queue.created")
    assert (made.reason, made.target_id) == ("small machines", str(pool.pk))
    rest = {"description": "", "region": "", "resource_class": "cpu", "offers": ["cpu", "memory"], "rate_milli": 1000}
    assert made.after == {"name": "far", "memory_mib": 256, **rest}
    assert (added.reason, added.after["pool"], added.after["weight"], added.after["cap"]) == ("scans", "far", 3, 2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Upper",
        "a b",
        "a.b",
        "-a",
        "a_",
        "ä",
        "a\n",
        "a" * 61,
        # A key that the broker itself uses.
        "unacked_index",
        # It exists, as a queue and as a pool.
        "maintenance",
    ],
)
def test_invalid_name_is_refused_and_leaves_nothing(name: str) -> None:
    def create_each() -> None:
        with pytest.raises(FieldInvalidError) as of_queue:
            create_queue(name=name, pool="default")
        with pytest.raises(FieldInvalidError) as of_pool:
            create_worker_pool(name=name)
        assert of_queue.value.errors[0]["field"] == of_pool.value.errors[0]["field"] == "name"

    before = (Queue.objects.count(), WorkerPool.objects.count())
    create_each()
    assert (Queue.objects.count(), WorkerPool.objects.count()) == before
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action__endswith=".created").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight", 0),
        ("weight", 1_001),
        ("cap", -1),
        ("dispatches_per_minute", 0),
        ("dispatch_burst", 1_000_001),
        ("needs", ["tape"]),
        ("expected_seconds", 0.0),
        ("expected_seconds", float("nan")),
        ("expected_seconds", float("inf")),
        ("description", "x" * 201),
        # Pausing has its own service.
        ("is_paused", True),
    ],
)
def test_value_out_of_bounds_is_refused_when_adding_and_editing(field: str, value: Any) -> None:
    with pytest.raises(FieldInvalidError, match=field):
        create_queue(name="new", pool="default", values={field: value})
    with pytest.raises(FieldInvalidError, match=field):
        update_queue(queue=Queue.objects.get(name="dataset"), changes={field: value})
    assert not Queue.objects.filter(name="new").exists()


def test_queue_needs_an_existing_pool() -> None:
    with pytest.raises(FieldInvalidError, match="there are: default, io, maintenance"):
        create_queue(name="new", pool="nope")


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory_mib", 300), ("resource_class", "gpu"), ("offers", ["tape"]), ("rate_milli", 0), ("rate_milli", 1001)],
)
def test_value_of_a_pool_must_be_a_known_one(field: str, value: Any) -> None:
    with pytest.raises(FieldInvalidError, match=field):
        create_worker_pool(name="new", values={field: value})


def test_class_of_a_pool_changes_only_while_no_worker_runs() -> None:
    pool = create_worker_pool(name="far")
    register_worker(pool_name="far", hostname="far", pid=1, slots=1)
    with pytest.raises(FieldInvalidError, match="Stop them"):
        update_worker_pool(pool=pool, changes={"resource_class": "io"})
    # The class that it has already is no change.
    update_worker_pool(pool=pool, changes={"resource_class": "cpu", "rate_milli": 500})
    with all_tenants():
        Worker.objects.update(status=Worker.Status.STOPPED)
    assert update_worker_pool(pool=pool, changes={"resource_class": "io"}).resource_class == "io"
    before = entry_of("worker_pool.changed", after__has_key="resource_class").before
    assert before == {"resource_class": "cpu", "offers": ["cpu", "memory"]}


@pytest.mark.parametrize(("name", "words"), [("default", "tasks_sandbox"), ("maintenance", "upkeep")])
def test_pool_of_queues_for_synchronous_jobs_stays_a_cpu_pool(name: str, words: str) -> None:
    pool = WorkerPool.objects.get(name=name)
    activate_cfs_plan(plan=CFSPlan.objects.get(name="cloud"))
    with pytest.raises(FieldInvalidError, match=words):
        update_worker_pool(pool=pool, changes={"resource_class": "io"})
    assert update_worker_pool(pool=pool, changes={"resource_class": "cpu", "memory_mib": 512}).memory_mib == 512


def test_pool_of_a_plans_queue_for_asynchronous_kinds_stays_an_io_pool() -> None:
    pool = create_worker_pool(name="waits", values={"resource_class": "io"})
    queue = create_queue(name="coroutines", pool=pool)
    plan = CFSPlan.objects.get(name="cloud")
    activate_cfs_plan(plan=plan)
    with all_tenants():
        plan.tiers.update(io_queue=queue)
    with pytest.raises(FieldInvalidError, match="coroutines"):
        update_worker_pool(pool=pool, changes={"resource_class": "cpu"})
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    update_worker_pool(pool=pool, changes={"resource_class": "cpu", "offers": ["cpu", "io"]})
    with pytest.raises(CFSPlanInvalidError, match="coroutines belongs to no I/O pool"):
        activate_cfs_plan(plan=plan)


def test_pool_and_queue_without_clocks_get_them_from_the_tick(acme: Tenant) -> None:
    with all_tenants():
        pool = WorkerPool.objects.create(name="copied")
        queue = Queue.objects.create(name="copied", pool=pool)
    assert run_tick(pool.pk).was_led
    assert PoolClock.objects.get(pool=pool).ticked_at is not None
    create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    register_worker(pool_name="copied", hostname="far", pid=1, slots=1)
    submit(acme)
    assert run_tick(pool.pk).dispatched == 1


def test_job_submitted_before_its_queue_had_a_clock_is_dispatched(
    acme: Tenant, worker: Registration, pool: WorkerPool
) -> None:
    with all_tenants():
        queue = Queue.objects.create(name="copied", pool=pool)
    create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
    submit(acme)
    # The pool was ticked just now, so this tick creates no clocks.
    assert run_tick(pool.pk).dispatched == 0
    with all_tenants():
        PoolClock.objects.update(ticked_at=Now() - timedelta(seconds=2))
    assert run_tick(pool.pk).dispatched == 1


def test_commands_create_both_and_print_json() -> None:
    offers = ("--offers", "memory", "io")
    options = ("--memory-mib", "512", "--resource-class", "io", *offers, "--rate-milli", "10", "--reason", "x")
    pool = run_json("create_worker_pool", "far", *options)
    facts = {"description": "", "memory_mib": 512, "resource_class": "io", "rate_milli": 10, "region": ""}
    assert pool == {"name": "far", "offers": ["io", "memory"], **facts}
    queue = run_json(
        *(
            "create_queue",
            "slow",
            "--pool",
            "far",
            "--weight",
            "3",
            "--dispatches-per-minute",
            "60",
            "--dispatch-burst",
        ),
        *("2", "--needs", "memory", "--expected-seconds", "2.5", "--description", "scans"),
    )
    assert queue == {
        "name": "slow",
        "pool": "far",
        "description": "scans",
        "weight": 3,
        "cap": None,
        "dispatches_per_minute": 60,
        "dispatch_burst": 2,
        "needs": ["memory"],
        "expected_seconds": 2.5,
    }


def test_commands_print_the_next_step() -> None:
    out = io.StringIO()
    call_command("create_worker_pool", "far", stdout=out)
    call_command("create_queue", "slow", pool="far", stdout=out)
    assert out.getvalue() == (
        "Created the worker pool far. Start a worker of it with “run_worker --pool far”.\n"
        "Created the queue slow in the pool far. Route jobs to it by a routing rule or a tier row.\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("create_worker_pool", "default"),
        ("create_queue", "dataset", "--pool", "default"),
        ("create_queue", "new", "--pool", "nope"),
        ("create_queue", "new", "--pool", "default", "--weight", "0"),
    ],
)
def test_invalid_values_are_errors_of_the_command(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command(*arguments)
