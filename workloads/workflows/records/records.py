"""The records of a run and of its nodes, as an engine or a client writes them. The code is pure.

An engine writes them at its safe points, in the transaction of the checkpoint::

    context.checkpoint(state, effects=lambda: save_records(run, nodes))

A write may come late, twice, or after a newer one; :mod:`upserts` merges it with the stored row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from tenants.translation import gettext_noop

type JsonObject = Mapping[str, Any]


class RecordState(StrEnum):
    """The state of a run or a node."""

    RUNNING = gettext_noop("running")
    WAITING = gettext_noop("waiting")
    SUCCEEDED = gettext_noop("succeeded")
    FAILED = gettext_noop("failed")
    CANCELLED = gettext_noop("cancelled")
    SKIPPED = gettext_noop("skipped")

    @property
    def is_terminal(self) -> bool:
        """Return whether the state is final."""
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({RecordState.SUCCEEDED, RecordState.FAILED, RecordState.CANCELLED, RecordState.SKIPPED})
# Shown state of a run whose job is suspended while it runs; never stored.
PAUSED: Final = gettext_noop("paused")
# Every state that can be shown.
SHOWN_STATES: Final = (*(state.value for state in RecordState), PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The record of a run at one ``version``, which begins at 1 and rises with every change.

    If ``inputs``, ``outputs``, ``graph`` or ``started_at`` is None, the stored value is kept, so a write needs to
    contain only what has changed. ``graph`` is what the run's pages draw, ``{"nodes": [{"id", "type", "title",
    "parent"?}], "edges": [{"source", "target", "label"?}]}``; it must not change once it is set. ``parent`` is the id
    of the iteration that contains a node. ``is_external`` marks a run that was executed outside the platform;
    ``job_id`` is then the job that stores this record. ``replay_of`` is the run that this one replays; only the first
    write of a run sets it.
    """

    run_id: UUID
    tenant_id: UUID
    workflow_id: UUID
    workflow_version: int
    job_id: UUID
    version: int
    state: RecordState
    inputs: JsonObject | None = None
    outputs: JsonObject | None = None
    error_code: str = ""
    error_message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    total_tokens: int = 0
    total_cost: Decimal | None = None
    total_steps: int = 0
    graph: JsonObject | None = None
    workflow_name: str = ""
    is_external: bool = False
    replay_of: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """The record of a node at one ``version``; each node has its own versions.

    ``path`` holds the indexes of the iterations around the node; it is empty outside of iterations. If ``inputs``,
    ``outputs`` or ``started_at`` is None, the stored value is kept.
    """

    run_id: UUID
    node_id: str
    path: tuple[int, ...] = ()
    version: int
    node_type: str
    state: RecordState
    attempt: int = 1
    inputs: JsonObject | None = None
    outputs: JsonObject | None = None
    error_code: str = ""
    error_message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    tokens: int = 0
