"""Queries of workflow runs and their nodes. The stored states are combined with the state of the run's job.

A run and its nodes are written in one transaction and read by one statement, so no node is newer than its run. A job
can end without running its code (cancelled, crashed); its run and all its nodes are then shown as ended. The job of a
run executed outside the platform only stores it, so such a run is shown as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When

from tenants.database.ids import uuid7_floor
from tenants.database.reads import first_or_raise
from workloads.job_outcome import (
    CANCELLED,
    FAILED_STATES,
    SUSPENDED,
    WAITING_STATES,
    error_code,
    error_message,
    with_job,
)
from workloads.workflows.records.exceptions import WorkflowRunNotFoundError
from workloads.workflows.records.models import HEAVY_FIELDS, OPEN_STATES, NodeRun, WorkflowRun
from workloads.workflows.records.records import PAUSED, TERMINAL_STATES, RecordState

_TERMINAL = sorted(TERMINAL_STATES)
# States that are stored as open.
_OPEN_SHOWN: Final = {*OPEN_STATES, PAUSED}
# Shown of a stored `running` while the job has no slot.
_HELD: Final = (PAUSED, RecordState.WAITING.value)
_SHOWN: Final = ("shown_state", "shown_error_code", "shown_error_message")
# Reads of a run that is being written meanwhile.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Values to filter workflow runs by. A field left empty does not filter."""

    states: Sequence[str] = ()
    workflow_id: UUID | None = None
    job_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def condition(self) -> Q:
        """Return the filter as a Q.

        Apply it to a queryset of `find_runs`, because it may use the annotation `shown_state`.
        """
        condition = Q()
        if self.states:
            condition &= Q(shown_state__in=self.states)
            if set(self.states) <= _OPEN_SHOWN:
                condition &= Q(state__in=OPEN_STATES)  # uses their partial index
        if self.workflow_id is not None:
            condition &= Q(workflow_id=self.workflow_id)
        if self.job_id is not None:
            condition &= Q(job_id=self.job_id)
        if self.created_after is not None:
            condition &= Q(id__gte=uuid7_floor(self.created_after))
        if self.created_before is not None:
            condition &= Q(id__lt=uuid7_floor(self.created_before))
        return condition


@dataclass(frozen=True, slots=True)
class RunPicture:
    """A run and its nodes, as they were at one moment."""

    run: Any
    nodes: Sequence[Any]


def find_runs(asked: RunFilter | None = None) -> QuerySet[WorkflowRun]:
    """Return a queryset of the current scope's runs that match the filter.

    It is annotated with ``shown_state``, ``shown_error_code`` and ``shown_error_message``, which take the run's job
    into account.
    """
    runs = _as_shown(WorkflowRun.objects.all(), job="job_id", prefix="")
    return runs.filter(asked.condition()) if asked else runs


def scan_runs(asked: RunFilter) -> QuerySet[WorkflowRun] | None:
    """Return the queryset of all rows that a list has to scan; None if an index finds the wanted states."""
    if not asked.states or set(asked.states) <= _OPEN_SHOWN:
        return None
    return WorkflowRun.objects.filter(replace(asked, states=()).condition())


def get_run(run_id: UUID) -> WorkflowRun:
    """Return one run of the current scope, annotated as by `find_runs`.

    Raise `WorkflowRunNotFoundError` if there is none.
    """
    return first_or_raise(find_runs().filter(pk=run_id), WorkflowRunNotFoundError)


def find_nodes(run_id: UUID) -> QuerySet[NodeRun]:
    """Return a queryset of a run's nodes, annotated with ``shown_state``.

    A node is shown as open only while its run is.
    """
    nodes = _as_shown(NodeRun.objects.filter(run_id=run_id), job="run__job_id", prefix="run_", of="run__")
    is_left = Q(state__in=OPEN_STATES) & Q(run_shown_state__in=_TERMINAL)
    shown = Case(
        When(is_left, then=Value(RecordState.CANCELLED.value)),
        # A running node waits with its run.
        When(Q(state=RecordState.RUNNING.value) & Q(run_shown_state__in=_HELD), then=F("run_shown_state")),
        default=F("state"),
        output_field=CharField(),
    )
    found: QuerySet[NodeRun] = nodes.annotate(shown_state=shown)
    return found


def get_node(run_id: UUID, node_key: UUID) -> NodeRun:
    """Return one node of a run of the current scope; raise `WorkflowRunNotFoundError` if there is none."""
    return first_or_raise(find_nodes(run_id).filter(pk=node_key), WorkflowRunNotFoundError("The run has no such node."))


def read_picture(run_id: UUID, *, most_nodes: int) -> RunPicture:
    """Return a run and its first ``most_nodes`` nodes, as they were at one moment, without the nodes' values."""
    heavy = [*(f"run__{name}" for name in HEAVY_FIELDS), "inputs", "outputs"]
    nodes_of = find_nodes(run_id).select_related("run").defer(*heavy).order_by("id")[:most_nodes]
    for _ in range(_LOOKS):
        run: Any = get_run(run_id)
        nodes: list[Any] = list(nodes_of.all())
        # The nodes' statement has read the run too: if it was written in between, both are read again.
        if not nodes or _seen(nodes[0].run, nodes[0], "run_") == _seen(run, run, ""):
            return RunPicture(run, nodes)
    # It is written continuously: use the run as read with the nodes, which has less of its values.
    run = nodes[0].run
    for name in _SHOWN:
        setattr(run, name, getattr(nodes[0], f"run_{name}"))
    return RunPicture(run, nodes)


def _seen(run: Any, shown: Any, prefix: str) -> tuple[Any, ...]:
    versions = (run.version, run.inputs_version, run.outputs_version)
    return (*versions, *(getattr(shown, f"{prefix}{name}") for name in _SHOWN))


def _as_shown(rows: QuerySet[Any], *, job: str, prefix: str, of: str = "") -> QuerySet[Any]:
    # The row's own condition first: in this order PostgreSQL looks up only the jobs of open runs.
    is_own = Q(**{f"{of}is_external": False})
    is_open = Q(**{f"{of}state__in": OPEN_STATES}) & is_own
    is_cancelled = is_open & Q(**{f"{prefix}job_state": CANCELLED})
    is_failed = is_open & Q(**{f"{prefix}job_state__in": FAILED_STATES})
    is_running = Q(**{f"{of}state": RecordState.RUNNING.value}) & is_own
    is_paused = is_running & Q(**{f"{prefix}job_state": SUSPENDED})
    is_waiting = is_running & Q(**{f"{prefix}job_state__in": WAITING_STATES})
    state = Case(
        When(is_cancelled, then=Value(RecordState.CANCELLED.value)),
        When(is_failed, then=Value(RecordState.FAILED.value)),
        When(is_paused, then=Value(PAUSED)),
        When(is_waiting, then=Value(RecordState.WAITING.value)),
        default=F(f"{of}state"),
        output_field=CharField(),
    )
    is_dead = is_cancelled | is_failed
    annotated: QuerySet[Any] = with_job(rows, job=job, prefix=prefix).annotate(
        **{
            f"{prefix}shown_state": state,
            f"{prefix}shown_error_code": error_code(is_dead, prefix=prefix, of=of),
            f"{prefix}shown_error_message": error_message(is_dead, prefix=prefix, of=of, job=job, owner=f"{of}id"),
        }
    )
    return annotated
