"""Storage of records of runs and nodes, in the caller's transaction and in the scope of the run's tenant."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction
from psycopg.errors import UniqueViolation

from workloads.workflows.records.exceptions import RunTakenError
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.records import NodeRecord, RunRecord
from workloads.workflows.records.rows import Row, node_row, run_row
from workloads.workflows.records.upserts import upsert_nodes, upsert_runs

# The id of a run is unique over all tenants.
_ID_KEY = "workflow_storage_workflowrun_pkey"


def save_records(run: RunRecord, nodes: Sequence[NodeRecord] = ()) -> None:
    """Insert or update a run and nodes of it, with one statement each. Raise ValueError for a node of another run.

    A stored run with the same id that was executed outside the platform stays unchanged, with its nodes.
    """
    rows = _rows_of(run, nodes)
    if upsert_runs([run_row(run)]) or not _is_external(run.run_id):
        upsert_nodes(rows)


def save_external_record(run: RunRecord, nodes: Sequence[NodeRecord]) -> bool:
    """Insert or update the record of a run executed outside the platform, and of nodes of it.

    Return False, and change nothing, if the stored run has ended at a lower version. Raise `RunTakenError` if the id
    belongs to a run of the platform or of another tenant.
    """
    rows = _rows_of(run, nodes)
    _upsert_external(run_row(run))
    locked = WorkflowRun.objects.select_for_update(no_key=True).filter(pk=run.run_id)
    stored = locked.values("version", "is_external").first()
    if stored is None or not stored["is_external"]:
        raise RunTakenError
    if stored["version"] < run.version:
        return False
    upsert_nodes(rows)
    return True


def _rows_of(run: RunRecord, nodes: Sequence[NodeRecord]) -> list[Row]:
    if foreign := {node.run_id for node in nodes} - {run.run_id}:
        raise ValueError(f"A node belongs to the run {foreign.pop()}, not to {run.run_id}.")
    return [node_row(node, tenant_id=run.tenant_id, run_version=run.version) for node in nodes]


def _upsert_external(row: Row) -> None:
    for _ in range(2):
        try:
            with transaction.atomic():
                upsert_runs([row])
        except IntegrityError as error:
            if not _is_of_id(error):
                raise
            # Another transaction of the tenant may just have inserted the run: the second attempt merges with it.
        else:
            return
    raise RunTakenError


def _is_of_id(error: IntegrityError) -> bool:
    cause = error.__cause__
    return isinstance(cause, UniqueViolation) and cause.diag.constraint_name == _ID_KEY


def _is_external(run_id: UUID) -> bool:
    return WorkflowRun.objects.filter(pk=run_id, is_external=True).exists()
