"""Records of runs executed outside the platform, as the JSON payload of the job that stores them.

The code is pure: it imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.records.rows import storable


def to_payload(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a validated request body as JSON that PostgreSQL can store: ids and times become texts, times in UTC."""
    nodes = [_with_texts(node) for node in body.get("nodes", ())]
    payload: dict[str, Any] = storable({"run": _with_texts(body["run"]), "nodes": nodes})
    return payload


def read_record(payload: Mapping[str, Any], *, tenant_id: UUID, job_id: UUID) -> tuple[RunRecord, list[NodeRecord]]:
    """Return the record of the run and those of its nodes from a job's payload, for this tenant and job."""
    run, run_id = payload["run"], UUID(payload["run"]["id"])
    record = RunRecord(
        run_id=run_id,
        tenant_id=tenant_id,
        workflow_id=UUID(run["workflow"]["id"]),
        workflow_version=run["workflow"]["version"],
        workflow_name=run["workflow"].get("name", ""),
        job_id=job_id,
        total_tokens=run.get("total_tokens", 0),
        total_steps=run.get("total_steps", 0),
        graph=run.get("graph"),
        is_external=True,
        **_common(run),
    )
    return record, [_read_node(node, run_id) for node in payload["nodes"]]


def _read_node(node: Mapping[str, Any], run_id: UUID) -> NodeRecord:
    return NodeRecord(
        run_id=run_id,
        node_id=node["node"],
        path=tuple(node.get("path", ())),
        node_type=node["type"],
        attempt=node.get("attempt", 1),
        tokens=node.get("tokens", 0),
        **_common(node),
    )


def _common(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the records of a run and of a node share."""
    error = part.get("error") or {}
    return {
        "version": part["version"],
        "state": RecordState(part["state"]),
        "inputs": part.get("inputs"),
        "outputs": part.get("outputs"),
        "error_code": error.get("code", ""),
        "error_message": error.get("message", ""),
        "started_at": _read_moment(part.get("started_at")),
        "ended_at": _read_moment(part.get("ended_at")),
    }


def _with_texts(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in part.items()}


def _read_moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
