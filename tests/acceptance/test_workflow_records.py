"""Runs that are stored by jobs, on real processes: what is written beside the engine's checkpoint gets there once."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from rest_framework.test import APIClient

from scheduling.models import Job
from scheduling.processors.workflow_storage.queueing import QueuedRecords
from scheduling.processors.workflow_storage.records import RunState
from scheduling.services.consistency.verification import verify
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.acts import submit, wait_for_all
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.integration.workflow_storage.conftest import ended, later, new_node, new_run

RUNS, NODES = 5, 12


def test_queued_writes_of_many_runs_are_stored_by_the_workers(
    platform: Platform, acme: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    records = QueuedRecords()
    jobs = submit(acme, "noop", *[{}] * RUNS)
    runs = [new_run(acme, job_id=job.pk) for job in jobs]
    with tenant_context(acme):
        for run in runs:
            records.save_run(run)
    for number in range(NODES):
        for index, run in enumerate(runs):
            with tenant_context(acme), transaction.atomic():
                runs[index] = later(run, total_steps=number)
                records.save_many(runs[index], [new_node(run, f"n{number}")])
            with tenant_context(acme), transaction.atomic():
                is_last = number == NODES - 1
                state = RunState.SUCCEEDED if is_last else RunState.RUNNING
                runs[index] = later(runs[index], state=state, total_steps=number + 1)
                records.save_many(runs[index], [ended(new_node(run, f"n{number}"))])

    client = api_client(acme)
    addresses = [f"/api/v1/workflow-runs/{run.run_id}/" for run in runs]
    for address in addresses:
        told = eventually(
            lambda address=address: not (run := client.get(address).json())["writes_pending"] and run  # type: ignore[misc]
        )
        assert (told["state"], told["version"], told["total_steps"]) == ("succeeded", 1 + 2 * NODES, NODES)
        nodes = client.get(f"{address}nodes/").json()["results"]
        assert [(node["node"], node["state"], node["version"]) for node in nodes] == [
            (f"n{number}", "succeeded", 2) for number in range(NODES)
        ]
    with tenant_context(acme):
        storing = list(Job.objects.filter(kind="workflow_storage"))
    assert len(storing) == RUNS * 2 * NODES
    wait_for_all(storing)
    with tenant_context(acme):
        results = Job.objects.filter(kind="workflow_storage").values_list("result", flat=True)
        # However the jobs shared them out, each write was applied once.
        assert sum(result["writes"] for result in results) == RUNS * 2 * NODES
    assert "workflow_write_stuck" not in {code for code, _ in verify().findings}
