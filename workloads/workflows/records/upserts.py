"""Upserts of runs and nodes. Each row is merged with the stored one by comparing versions.

A row has a head (state, error, times), which a row of a higher version replaces as a whole, and two values, each with
the version that set it. So neither the order nor the number of writes matters: the newest of each part is kept. Once a
row is in a terminal state, a write of a higher version changes nothing; a write of a lower version still stores the
values that it alone has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field
from workloads.workflows.records.models import HEAVY_FIELDS, NodeRun, RecordedModel, WorkflowRun, node_seal_id
from workloads.workflows.records.offloading import offload
from workloads.workflows.records.rows import Row

_SQL = load_sql(__file__)
UPSERT_RUNS: Final = _SQL["upsert_runs"]
UPSERT_NODES: Final = _SQL["upsert_nodes"]


def upsert_runs(rows: Sequence[Row]) -> int:
    """Insert or update runs with different ids, in the current transaction.

    Return how many rows were inserted or changed.
    """
    sealed = [_sealed(WorkflowRun, offload(row), UUID(row["id"])) for row in sorted(rows, key=_run_key)]
    return _upsert(UPSERT_RUNS, sealed)


def upsert_nodes(rows: Sequence[Row]) -> int:
    """Insert or update different nodes, in the current transaction. Return how many rows were inserted or changed."""
    return _upsert(
        UPSERT_NODES,
        [
            _sealed(NodeRun, offload(row), node_seal_id(UUID(row["run_id"]), row["node_id"], row["path"]))
            for row in sorted(rows, key=_node_key)
        ],
    )


def _sealed(model: type[RecordedModel], row: Row, row_id: UUID) -> Row:
    """Return the row with its values as they are stored: encrypted if encryption is on."""
    names = [name for name in (*HEAVY_FIELDS, "error_message") if row.get(name) is not None]
    tenant_id = UUID(row["tenant_id"])
    return {
        **row,
        **{name: sealed_field(model, name).stored(row[name], tenant_id=tenant_id, row_id=row_id) for name in names},
    }


def _run_key(row: Row) -> tuple[Any, ...]:
    return row["tenant_id"], row["id"]


def _node_key(row: Row) -> tuple[Any, ...]:
    return row["tenant_id"], row["run_id"], row["node_id"], row["path"]


def _upsert(statement: str, rows: Sequence[Row]) -> int:
    # Sorted by key, so that all writers lock the rows in one order.
    if not rows:
        return 0
    return execute(statement, {"rows": json.dumps(rows)}, is_planned=True)
