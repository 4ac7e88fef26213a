"""External records on real processes: shuffled, partly repeated, and with a killed worker."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import wait_for_all
from tests.integration.workloads.workflow_records.conftest import ended, later, new_node, new_run
from tests.integration.workloads.workflow_records.record_helpers import send, stored_rows
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.records.repository import save_external_record

RUNS, NODES = 5, 6
PATIENCE_SECONDS = 120.0


def records_of(tenant: Tenant) -> list[tuple[RunRecord, Sequence[NodeRecord]]]:
    """Return the records of a run in order: its begin, and two of each node; the last one ends it."""
    run = new_run(tenant, is_external=True)
    records: list[tuple[RunRecord, Sequence[NodeRecord]]] = [(run, [])]
    for number in range(NODES):
        node = new_node(run, f"n{number}")
        state = RecordState.SUCCEEDED if number == NODES - 1 else RecordState.RUNNING
        run = later(run, total_steps=number)
        records.append((run, [node]))
        run = later(run, state=state, total_steps=number + 1)
        records.append((run, [ended(node)]))
    return records


def test_shuffled_and_repeated_records_are_stored_once(
    platform: Platform, acme: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    chance = random.Random(20_261_129)
    runs = [records_of(acme) for _ in range(RUNS)]
    arrivals = [record for records in runs for record in (*records, *chance.sample(records, 3))]
    chance.shuffle(arrivals)
    half = len(arrivals) // 2

    jobs = [send(acme, run, *nodes) for run, nodes in arrivals[:half]]
    assert platform.worker is not None
    platform.worker.kill()
    jobs += [send(acme, run, *nodes) for run, nodes in arrivals[half:]]
    platform.restart_stopped()

    with tenant_context(acme):
        storing = list(Job.objects.filter(pk__in=jobs))
    assert len(storing) == len(arrivals)
    wait_for_all(storing, within=PATIENCE_SECONDS)
    for records in runs:
        run_id = records[0][0].run_id
        with tenant_context(acme):
            assert stored_rows(run_id) == stored_rows(stored_in_order(records))
        shown = api_client(acme).get(f"/api/v1/workflow-runs/{run_id}/").json()
        assert (shown["state"], shown["version"], shown["total_steps"]) == ("succeeded", 1 + 2 * NODES, NODES)
        assert shown["is_external"]
    assert not [code for code, _ in verify().findings if code.startswith("workflow_")]


def stored_in_order(records: Sequence[tuple[RunRecord, Sequence[NodeRecord]]]) -> UUID:
    """Store a copy of a run in the order of its records; return its id."""
    copy_id = uuid7()
    for run, nodes in records:
        save_external_record(replace(run, run_id=copy_id), [replace(node, run_id=copy_id) for node in nodes])
    return copy_id
