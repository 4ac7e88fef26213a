"""Runs and nodes as their readers see them: what was stored, and how the job behind it stands.

A write stores a run with its nodes in one transaction, and one statement reads both, so no node is ahead of its run.
A job can end where none of its code runs (cancelled, crashed): its run has ended then, and so have all of its nodes.
The job of a run recorded outside the platform only stores it: such a run is shown as it was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from scheduling.processors.workflow_storage.exceptions import RunNotFoundError
from scheduling.processors.workflow_storage.models import OPEN_STATES, NodeRun, WorkflowRun
from scheduling.processors.workflow_storage.records import PAUSED, TERMINAL_STATES, RunState
from tenants.ids import uuid7_floor

_TERMINAL = sorted(TERMINAL_STATES)
# What is shown so is stored as open.
_OPEN_SHOWN: Final = {*OPEN_STATES, PAUSED}
_CANCELLED_JOB = "cancelled"
_DEAD_JOB_STATES = ("discarded", "quarantined")
_FALLBACK_REASONS = {
    "cancelled": "The job was cancelled.",
    "discarded": "The job failed.",
    "quarantined": "The job crashed its workers.",
}
HEAVY_FIELDS: Final = ("inputs", "outputs", "graph")
_SHOWN: Final = ("shown_state", "shown_error_code", "shown_error_message")
# How often a run is read anew that is being written while it is read.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; empty means all."""

    states: Sequence[str] = ()
    workflow_id: UUID | None = None
    job_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def condition(self) -> Q:
        """For runs as :func:`find_runs` gives them."""
        condition = Q()
        if self.states:
            condition &= Q(shown_state__in=self.states)
            if set(self.states) <= _OPEN_SHOWN:
                condition &= Q(state__in=OPEN_STATES)  # the index of those
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
    """A run with its nodes as of one moment."""

    run: Any
    nodes: Sequence[Any]


def find_runs(asked: RunFilter | None = None) -> QuerySet[WorkflowRun]:
    """Return runs of the current scope with ``shown_state``, ``shown_error_code`` and ``shown_error_message``."""
    runs = _with_job(WorkflowRun.objects.all(), job="job_id", prefix="")
    return runs.filter(asked.condition()) if asked else runs


def walked_runs(asked: RunFilter) -> QuerySet[WorkflowRun] | None:
    """The rows that a list walks through because no index finds its states; None where one does."""
    if not asked.states or set(asked.states) <= _OPEN_SHOWN:
        return None
    return WorkflowRun.objects.filter(replace(asked, states=()).condition())


def get_run(run_id: UUID) -> WorkflowRun:
    """One run of the current scope as :func:`find_runs` gives it, else RunNotFoundError."""
    run = find_runs().filter(pk=run_id).first()
    if run is None:
        raise RunNotFoundError
    return run


def find_nodes(run_id: UUID) -> QuerySet[NodeRun]:
    """The nodes of a run with ``shown_state``; a node is open only while its run is."""
    nodes = _with_job(NodeRun.objects.filter(run_id=run_id), job="run__job_id", prefix="run_", of="run__")
    is_left = Q(state__in=OPEN_STATES) & Q(run_shown_state__in=_TERMINAL)
    shown = Case(
        When(is_left, then=Value(RunState.CANCELLED.value)),
        When(Q(state=RunState.RUNNING.value) & Q(run_shown_state=PAUSED), then=Value(PAUSED)),
        default=F("state"),
        output_field=CharField(),
    )
    found: QuerySet[NodeRun] = nodes.annotate(shown_state=shown)
    return found


def get_node(run_id: UUID, node_key: UUID) -> NodeRun:
    """One node of a run of the current scope, else RunNotFoundError."""
    node = find_nodes(run_id).filter(pk=node_key).first()
    if node is None:
        raise RunNotFoundError("The run has no such node.")
    return node


def read_picture(run_id: UUID, *, most_nodes: int) -> RunPicture:
    """A run with its nodes, the first ones where there are more, as of one moment; values of nodes are not read."""
    heavy = [*(f"run__{name}" for name in HEAVY_FIELDS), "inputs", "outputs"]
    nodes_of = find_nodes(run_id).select_related("run").defer(*heavy).order_by("id")[:most_nodes]
    for _ in range(_LOOKS):
        run: Any = get_run(run_id)
        nodes: list[Any] = list(nodes_of.all())
        # The nodes' statement has seen the run, too: where it was written in between, both are read again.
        if not nodes or _seen(nodes[0].run, nodes[0], "run_") == _seen(run, run, ""):
            return RunPicture(run, nodes)
    # It is written all the time: as the nodes have seen it, which says less of its values for this once.
    run = nodes[0].run
    for name in _SHOWN:
        setattr(run, name, getattr(nodes[0], f"run_{name}"))
    return RunPicture(run, nodes)


def _seen(run: Any, shown: Any, prefix: str) -> tuple[Any, ...]:
    versions = (run.version, run.inputs_version, run.outputs_version)
    return (*versions, *(getattr(shown, f"{prefix}{name}") for name in _SHOWN))


def _with_job(rows: QuerySet[Any], *, job: str, prefix: str, of: str = "") -> QuerySet[Any]:
    # By name, for a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=OuterRef(job))
    names = {name: f"{prefix}job_{name}" for name in ("state", "error_type", "error_message")}
    rows = rows.annotate(**{alias: Subquery(jobs.values(name)[:1]) for name, alias in names.items()})
    # First what the row says: in this order PostgreSQL asks for jobs of open runs alone.
    is_own = Q(**{f"{of}is_external": False})
    is_open = Q(**{f"{of}state__in": OPEN_STATES}) & is_own
    is_cancelled = is_open & Q(**{names["state"]: _CANCELLED_JOB})
    is_dead = is_open & Q(**{f"{names['state']}__in": _DEAD_JOB_STATES})
    is_paused = Q(**{f"{of}state": RunState.RUNNING.value}) & is_own & Q(**{names["state"]: "suspended"})
    ended = is_cancelled | is_dead
    code = Coalesce(NullIf(names["error_type"], Value("")), F(names["state"]))
    message = Coalesce(NullIf(names["error_message"], Value("")), _fallback_reason(names["state"]))
    shown: QuerySet[Any] = rows.annotate(
        **{
            f"{prefix}shown_state": Case(
                When(is_cancelled, then=Value(RunState.CANCELLED.value)),
                When(is_dead, then=Value(RunState.FAILED.value)),
                When(is_paused, then=Value(PAUSED)),
                default=F(f"{of}state"),
                output_field=CharField(),
            ),
            f"{prefix}shown_error_code": Case(
                When(ended, then=code), default=F(f"{of}error_code"), output_field=CharField()
            ),
            f"{prefix}shown_error_message": Case(
                When(ended, then=message), default=F(f"{of}error_message"), output_field=CharField()
            ),
        }
    )
    return shown


def _fallback_reason(job_state: str) -> Case:
    cases = [When(**{job_state: state}, then=Value(reason)) for state, reason in _FALLBACK_REASONS.items()]
    return Case(*cases, default=Value(""), output_field=CharField())
