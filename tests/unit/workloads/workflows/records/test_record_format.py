"""External records as payloads, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given

from tests.workflow_histories import WrittenTogether, body_of, histories
from workloads.workflows.records.record_format import read_record, to_payload
from workloads.workflows.records.records import NodeRecord
from workloads.workflows.records.rows import node_row, run_row

RUN, TENANT, JOB = UUID(int=10), UUID(int=11), UUID(int=12)


def row_of(node: NodeRecord) -> dict[str, Any]:
    # Each row has its own id.
    return {**node_row(node, tenant_id=TENANT, run_version=1), "id": ""}


@given(histories(run_id=RUN, tenant_id=TENANT))
def test_record_is_equal_after_conversion_to_payload(history: list[WrittenTogether]) -> None:
    for write in history:
        run, nodes = read_record(to_payload(body_of(write.run, *write.nodes)), tenant_id=TENANT, job_id=JOB)

        assert run_row(run) == run_row(replace(write.run, job_id=JOB, is_external=True))
        assert [row_of(node) for node in nodes] == [row_of(node) for node in write.nodes]


def test_validated_values_become_json() -> None:
    moment = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    run = {"id": RUN, "workflow": {"id": TENANT, "version": 1}, "version": 1, "state": "running", "started_at": moment}

    payload = to_payload({"run": run})

    assert payload == {
        "run": {
            "id": str(RUN),
            "workflow": {"id": str(TENANT), "version": 1},
            "version": 1,
            "state": "running",
            "started_at": "2026-01-01T12:00:00+00:00",
        },
        "nodes": [],
    }


def test_tenant_and_job_are_never_read_from_the_payload() -> None:
    run = {"id": str(RUN), "workflow": {"id": str(RUN), "version": 1}, "version": 1, "state": "running"}
    payload = {"run": {**run, "tenant_id": str(RUN), "job": str(RUN)}, "nodes": []}

    record, nodes = read_record(payload, tenant_id=TENANT, job_id=JOB)

    assert (record.tenant_id, record.job_id, record.is_external, nodes) == (TENANT, JOB, True, [])
