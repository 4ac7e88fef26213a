"""Conversion of records to rows: plain JSON of limited size, without characters that PostgreSQL refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from tenants.database.ids import uuid7
from workloads.workflows.records.records import JsonObject, NodeRecord, RunRecord

# A row of a table as JSON: ids and times are strings, times in UTC and of one length.
type Row = Mapping[str, Any]

MAX_ERROR_CODE: Final = 64
MAX_ERROR_MESSAGE: Final = 1_000
MAX_WORKFLOW_NAME: Final = 200


def run_row(run: RunRecord) -> Row:
    """Return the row for the record of a run, as JSON values."""
    return {
        "id": str(run.run_id),
        "tenant_id": str(run.tenant_id),
        "workflow_id": str(run.workflow_id),
        "workflow_version": run.workflow_version,
        "workflow_name": _text(run.workflow_name)[:MAX_WORKFLOW_NAME],
        "is_external": run.is_external,
        "replay_of": None if run.replay_of is None else str(run.replay_of),
        "job_id": str(run.job_id),
        "total_tokens": run.total_tokens,
        "total_cost": None if run.total_cost is None else str(run.total_cost),
        "total_steps": run.total_steps,
        "graph": None if run.graph is None else storable(run.graph),
        **_common(run),
    }


def node_row(node: NodeRecord, *, tenant_id: UUID, run_version: int) -> Row:
    """Return the row for the record of a node, written together with the given version of its run, as JSON values."""
    return {
        "id": str(uuid7()),
        "tenant_id": str(tenant_id),
        "run_id": str(node.run_id),
        "node_id": node.node_id,
        "path": list(node.path),
        "node_type": node.node_type,
        "attempt": node.attempt,
        "tokens": node.tokens,
        "run_version": run_version,
        **_common(node),
    }


def storable(value: Any) -> Any:
    """Return a value as JSON that PostgreSQL can store: without NUL characters, unpaired surrogates and infinities.

    Values of other types become texts.
    """
    match value:
        case None | bool() | int():
            return value
        case str():
            return _text(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_text(str(key)): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case _:
            return _text(str(value))


def _common(record: RunRecord | NodeRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "state": record.state.value,
        "error_code": _text(record.error_code)[:MAX_ERROR_CODE],
        "error_message": _text(record.error_message)[:MAX_ERROR_MESSAGE],
        "started_at": _moment(record.started_at),
        "ended_at": _moment(record.ended_at),
        **_value("inputs", record.inputs, record.version),
        **_value("outputs", record.outputs, record.version),
    }


def _value(name: str, value: JsonObject | None, version: int) -> dict[str, Any]:
    """Return a value with the version that set it; 0 if it is not set."""
    return {name: None, f"{name}_version": 0} if value is None else {name: storable(value), f"{name}_version": version}


def _moment(moment: datetime | None) -> str | None:
    # Of one length, so that the strings sort as the times do.
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")


def _text(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
