"""Runs and nodes as their readers see them: what was stored, and how the job behind it stands.

A write stores a run with its nodes in one transaction, and one statement reads both, so no node is ahead of its run.
A job can end where none of its code runs (cancelled, crashed): its run has ended then, and so have all of its nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from scheduling.processors.workflow_storage.exceptions import RunNotFoundError
from scheduling.processors.workflow_storage.models import OPEN_STATES, NodeRun, PendingWrite, WorkflowRun
from scheduling.processors.workflow_storage.records import TERMINAL_STATES, RunState
from tenants.ids import uuid7_floor

PAUSED: Final = "paused"
# Every state that a reader may meet: those that are stored, and paused, which is the job's affair.
SHOWN_STATES: Final = (*(state.value for state in RunState), PAUSED)
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
    """Runs of the current scope with ``shown_state``, ``shown_error_code``, ``shown_error_message``, ``is_pending``.

    ``is_pending``: writes wait that may change what is read.
    """
    runs = _with_job(WorkflowRun.objects.all(), job="job_id", run="pk", prefix="")
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
    """The nodes of a run with ``shown_state``, each with its ``run``; a node is open only while its run is."""
    nodes = _with_job(NodeRun.objects.filter(run_id=run_id), job="run__job_id", run="run_id", prefix="run_", of="run__")
    is_left = Q(run_shown_state__in=_TERMINAL) & ~Q(state__in=_TERMINAL)
    shown = Case(
        When(is_left, then=Value(RunState.CANCELLED.value)),
        When(Q(run_shown_state=PAUSED) & Q(state=RunState.RUNNING.value), then=Value(PAUSED)),
        default=F("state"),
        output_field=CharField(),
    )
    found: QuerySet[NodeRun] = nodes.select_related("run").annotate(shown_state=shown)
    return found


def get_node(run_id: UUID, node_key: UUID) -> NodeRun:
    """One node of a run of the current scope, else RunNotFoundError."""
    node = find_nodes(run_id).filter(pk=node_key).first()
    if node is None:
        raise RunNotFoundError("The run has no such node.")
    return node


def read_picture(run_id: UUID, *, most_nodes: int) -> RunPicture:
    """A run with its nodes, the first ones where there are more, both read by one statement."""
    run = get_run(run_id)
    nodes = list(find_nodes(run_id).order_by("id")[:most_nodes])
    if nodes:
        # The run as the nodes' statement has seen it, which may be newer than the one before.
        run = nodes[0].run
        for name in ("shown_state", "shown_error_code", "shown_error_message", "is_pending"):
            setattr(run, name, getattr(nodes[0], f"run_{name}"))
    return RunPicture(run, nodes)


def _with_job(rows: QuerySet[Any], *, job: str, run: str, prefix: str, of: str = "") -> QuerySet[Any]:
    # By name, for a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=OuterRef(job))
    names = {name: f"{prefix}job_{name}" for name in ("state", "error_type", "error_message")}
    rows = rows.annotate(**{alias: Subquery(jobs.values(name)[:1]) for name, alias in names.items()})
    is_settled = Q(**{f"{of}state__in": _TERMINAL})
    is_cancelled = Q(**{names["state"]: _CANCELLED_JOB}) & ~is_settled
    is_dead = Q(**{f"{names['state']}__in": _DEAD_JOB_STATES}) & ~is_settled
    is_paused = Q(**{names["state"]: "suspended", f"{of}state": RunState.RUNNING.value})
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
            f"{prefix}is_pending": Exists(PendingWrite.objects.filter(run_id=OuterRef(run))),
        }
    )
    return shown


def _fallback_reason(job_state: str) -> Case:
    cases = [When(**{job_state: state}, then=Value(reason)) for state, reason in _FALLBACK_REASONS.items()]
    return Case(*cases, default=Value(""), output_field=CharField())
