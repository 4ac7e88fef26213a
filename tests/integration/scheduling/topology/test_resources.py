"""Resources: pools offer them, queues and kinds need them, and routing refuses what no pool offers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing.resources import ResourceNotOfferedError
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.routing.trials import try_route
from scheduling.jobs.submission import submit_job
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool
from scheduling.topology.service import (
    create_queue,
    create_routing_rule,
    create_worker_pool,
    update_queue,
    update_routing_rule,
    update_worker_pool,
)
from tenants.context import all_tenants
from tenants.database.conf import OWNER_ALIAS
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import submit
from workloads.diagnostics.processor import NoopProcessor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
MIGRATION = "0037_offers_and_needs"


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the kind noop need a GPU."""
    monkeypatch.setattr(NoopProcessor, "needs", ("gpu",))
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def gpu(db: None) -> Queue:
    """Return a queue of a pool that offers a GPU only."""
    create_worker_pool(name="cards", values={"offers": ["gpu"]})
    return create_queue(name="cards", pool="cards")


def fault_of(error: pytest.ExceptionInfo[FieldInvalidError]) -> tuple[str, str]:
    return error.value.errors[0]["field"], error.value.errors[0]["detail"]


def test_shipped_queues_stand_in_pools_that_offer_what_they_need() -> None:
    queues = {queue.name: queue for queue in Queue.objects.select_related("pool")}
    assert all(set(queue.needs) <= set(queue.pool.offers) for queue in queues.values())
    needs = {"dataset": ["cpu", "memory"], "tasks_team": ["cpu"], "workflow_team": ["io"], "workflow_storage": ["io"]}
    assert {name: queues[name].needs for name in needs} == needs
    offers = dict(WorkerPool.objects.values_list("name", "offers"))
    every = ["cpu", "io", "memory"]
    assert offers == {"default": every, "maintenance": every, "io": ["io"]}


@pytest.mark.parametrize(
    ("values", "offers"),
    [
        ({}, ["cpu", "memory"]),
        ({"offers": []}, ["cpu", "memory"]),
        ({"resource_class": "io"}, ["io"]),
        ({"offers": ["gpu", "cpu", "gpu"]}, ["cpu", "gpu"]),
        ({"resource_class": "io", "offers": ["memory", "io"]}, ["io", "memory"]),
    ],
)
def test_offers_of_a_pool_follow_its_class_unless_given(values: dict[str, Any], offers: list[str]) -> None:
    assert create_worker_pool(name="far", values=values).offers == offers


@pytest.mark.parametrize("offers", [["memory"], ["io", "cpu"], ["io", "gpu"]])
def test_io_pool_offers_io_and_no_processor(offers: list[str]) -> None:
    with pytest.raises(FieldInvalidError) as refused:
        create_worker_pool(name="far", values={"resource_class": "io", "offers": offers})
    assert fault_of(refused)[0] == "offers"


def test_new_class_without_offers_resets_them() -> None:
    pool = create_worker_pool(name="far", values={"offers": ["gpu"]})
    assert update_worker_pool(pool=pool, changes={"resource_class": "io"}).offers == ["io"]
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="worker_pool.changed")
    assert (entry.before["offers"], entry.after["offers"]) == (["gpu"], ["io"])
    assert update_worker_pool(pool=pool, changes={"rate_milli": 5}).offers == ["io"]


def test_queue_needs_its_pools_class_unless_given(gpu: Queue) -> None:
    create_worker_pool(name="waits", values={"resource_class": "io"})
    assert gpu.needs == ["gpu"]
    assert create_queue(name="a", pool="waits").needs == ["io"]
    assert create_queue(name="b", pool="default").needs == ["cpu"]
    assert create_queue(name="c", pool="default", values={"needs": ["memory", "cpu"]}).needs == ["cpu", "memory"]


def test_queue_in_a_pool_that_does_not_offer_what_it_needs_is_refused_with_the_cure() -> None:
    with pytest.raises(FieldInvalidError) as refused:
        create_queue(name="cards", pool="default", values={"needs": ["gpu"]})
    field, detail = fault_of(refused)
    assert (field, "default offers cpu, io, memory, not gpu" in detail, "add that" in detail) == ("needs", True, True)
    queue = Queue.objects.get(name="dataset")
    with pytest.raises(FieldInvalidError, match="gpu"):
        update_queue(queue=queue, changes={"needs": ["cpu", "gpu"]})
    queue.refresh_from_db()
    assert queue.needs == ["cpu", "memory"]


def test_offer_that_a_queue_needs_is_not_withdrawn(gpu: Queue) -> None:
    with pytest.raises(FieldInvalidError) as refused:
        update_worker_pool(pool=gpu.pool, changes={"offers": ["cpu"]})
    assert fault_of(refused) == (
        "offers",
        "Queues of the pool need what it would not offer: cards (gpu). Change what they need first.",
    )
    update_worker_pool(pool=gpu.pool, changes={"offers": ["cpu", "gpu"]})
    update_queue(queue=gpu, changes={"needs": ["cpu"]})
    assert update_worker_pool(pool=gpu.pool, changes={"offers": ["cpu"]}).offers == ["cpu"]


def test_class_that_withdraws_what_a_queue_needs_is_refused() -> None:
    pool = create_worker_pool(name="far")
    create_queue(name="far-queue", pool=pool)
    with pytest.raises(FieldInvalidError, match=r"far-queue \(cpu\)"):
        update_worker_pool(pool=pool, changes={"resource_class": "io"})


@pytest.mark.usefixtures("rendering")
def test_kind_that_needs_what_no_pool_offers_is_refused_with_queues_and_cure(acme: Tenant) -> None:
    with pytest.raises(ResourceNotOfferedError) as refused:
        submit_job(tenant=acme, request=JobRequest(kind="noop"))
    detail = refused.value.detail
    assert "noop needs gpu" in detail
    assert "tasks_team (the pool default offers cpu, io, memory, not gpu)" in detail
    assert "Name a queue of a pool that offers all of that" in detail
    routes = Routes.of_tenant(acme)
    assert (routes.choices("noop", {}), routes.better_queue("noop", {}, 0)) == ([], None)
    trial = try_route(kind="noop", tier="team", payload={})
    assert (trial.queue, trial.refusal, trial.choices) == (None, "resource_not_offered", [])


@pytest.mark.usefixtures("rendering")
def test_kind_goes_to_the_queues_of_a_rule_that_offer_what_it_needs(acme: Tenant, gpu: Queue) -> None:
    other = Queue.objects.get(name="dataset")
    rule = create_routing_rule(
        values={"position": 1, "kind": "noop", "balance": "weighted", "allows_queue_choice": True},
        targets={gpu.pk: 1, other.pk: 1_000},
    )
    assert {job.queue_id for job in submit(acme, 20)} == {gpu.pk}
    with pytest.raises(ResourceNotOfferedError, match="dataset"):
        submit_job(tenant=acme, request=JobRequest(kind="noop", queue="dataset"))
    assert Routes.of_tenant(acme).better_queue("noop", {}, other.pk) == gpu
    update_worker_pool(pool=gpu.pool, changes={"offers": ["cpu", "gpu"]})
    update_queue(queue=gpu, changes={"needs": ["cpu"]})
    update_worker_pool(pool=gpu.pool, changes={"offers": ["cpu"]})
    with pytest.raises(ResourceNotOfferedError, match=r"cards \(the pool cards offers cpu, not gpu\)"):
        submit_job(tenant=acme, request=JobRequest(kind="noop"))
    with pytest.raises(ResourceNotOfferedError):
        update_routing_rule(rule=rule, changes={"allows_queue_choice": False})
    update_routing_rule(rule=rule, changes={"is_active": False})


def test_synchronous_kind_is_not_routed_to_pools_without_processors(acme: Tenant, gpu: Queue) -> None:
    for name, pool in (("waits", "io"), ("also-cards", "cards")):
        queue = create_queue(name=name, pool=pool)
        with pytest.raises(ResourceNotOfferedError, match="noop needs cpu"):
            create_routing_rule(values={"position": 1, "kind": "noop", "queue": queue})
        rule = create_routing_rule(values={"position": 1, "queue": queue})
        with pytest.raises(ResourceNotOfferedError, match="noop needs cpu"):
            submit_job(tenant=acme, request=JobRequest(kind="noop"))
        with all_tenants():
            rule.delete()


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_migration_converts_labels_of_queues_and_lets_their_pools_offer_them() -> None:
    create_worker_pool(name="waits", values={"resource_class": "io"})
    labels = {"coroutines": ("waits", "cpu"), "plain": ("default", "cpu"), "heavy": ("default", "cpu+memory")}
    for name, (pool, label) in labels.items():
        create_queue(name=name, pool=pool)
        label_queue(name, label)
    before = dict(Queue.objects.values_list("name", "needs"))
    with all_tenants():
        Queue.objects.update(needs=["gpu"])
        WorkerPool.objects.update(offers=["gpu"])
    run_migration("FILL")
    needs = dict(Queue.objects.values_list("name", "needs"))
    assert needs == before | {"heavy": ["cpu", "memory"]}
    every = ["cpu", "io", "memory"]
    offers = {"default": every, "maintenance": every, "io": ["io"], "waits": ["io"]}
    with all_tenants():
        assert dict(WorkerPool.objects.values_list("name", "offers")) == offers
    run_migration("EMPTY")
    assert {label_of(name) for name in ("heavy", "dataset")} == {"cpu+memory"}
    assert (label_of("plain"), label_of("coroutines"), label_of("workflow_storage")) == ("cpu", "io", "io")


def run_migration(statements: str) -> None:
    owner, module = connections[OWNER_ALIAS], import_module(f"scheduling.migrations.{MIGRATION}")
    apps = MigrationLoader(owner).project_state([("scheduling", MIGRATION)]).apps
    with owner.schema_editor() as editor:
        module.run(getattr(module, statements))(apps, editor)
    owner.close()


def label_queue(name: str, label: str) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_queue SET resource_class = %s WHERE name = %s", [label, name])


def label_of(name: str) -> str:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT resource_class FROM scheduling_queue WHERE name = %s", [name])
        (found,) = cursor.fetchone() or [""]
    return str(found)
