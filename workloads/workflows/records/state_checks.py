"""Consistency checks of workflow runs against their jobs, and of their nodes."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, StateCheck
from scheduling.consistency.walk import Table
from tenants.database.ids import uuid7_floor
from tenants.database.sql import load_sql
from workloads.workflows.records.models import NodeRun, WorkflowRun

NO_JOB = FaultKind(
    "workflow_run_without_job", gettext_noop("An open workflow run of the last day has a job that does not exist.")
)
LEFT_OPEN = FaultKind("workflow_run_left_open", gettext_noop("A workflow run is open and its job has completed."))
NODE_AHEAD = FaultKind(
    "workflow_node_ahead", gettext_noop("A node refers to a version of its run that does not exist yet.")
)
_SQL = load_sql(__file__)
_RUNS, _NODES = _SQL["check_runs"], _SQL["check_nodes"]


def check_runs(piece: CheckRange) -> CheckPage:
    """Find open runs whose job does not exist or has completed."""
    yesterday = uuid7_floor(timezone.now() - timedelta(days=1))
    return Table(WorkflowRun._meta.db_table).look(_RUNS, piece, parameters={"yesterday": yesterday})


def check_nodes(piece: CheckRange) -> CheckPage:
    """Find nodes that were written with a higher version of their run than the stored one."""
    return Table(NodeRun._meta.db_table).look(_NODES, piece)


CHECKS = (
    StateCheck("workflow_runs", (NO_JOB, LEFT_OPEN), check_runs),
    StateCheck("workflow_nodes", (NODE_AHEAD,), check_nodes),
)
