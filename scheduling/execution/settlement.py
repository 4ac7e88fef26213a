"""Settlement: one statement ends an execution and changes its job accordingly.

A settlement succeeds only while its execution is live under its fence. A late one, of a worker believed dead, or a
second one finds no row and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import class_row

from scheduling import signals
from scheduling.breakers.rules import DependencyReport
from scheduling.conf import BY_INDEX
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import FenceLostError
from scheduling.execution.costs import Costs
from scheduling.execution.json_limits import storable_text
from scheduling.execution.settlement_errors import dependency_row, error_columns
from scheduling.jobs.lifecycle import JobState
from scheduling.kit import registry
from scheduling.models import Execution, Job, LiveExecution
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7s
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.encryption.data_keys import preload_keys
from tenants.encryption.envelope import quote
from tenants.encryption.fields import is_sealing, sealed_field

_SQL = load_sql(__file__)
_SETTLE_ONE, _SETTLE_MANY = _SQL["settle_one"], _SQL["settle_many"]
_SETTLE_ONE_NAMING, _SETTLE_MANY_NAMING = _SQL["settle_one_naming"], _SQL["settle_many_naming"]
# Run by `holds.settle_and_begin`.
SETTLE_AND_BEGIN = _SQL["settle_one_begin_next"]

MAX_PROGRESS_CHARACTERS = 200
_MOST_PROGRESS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """A job's progress: ``current`` of ``total``, in any unit that its processor chose."""

    current: int
    total: int
    message: str

    @classmethod
    def of(cls, current: int, total: int, message: str) -> Progress:
        """Build progress that can be stored from a processor's report; raise ValueError for numbers beyond 64 bits."""
        numbers = int(current), int(total)
        if not all(-_MOST_PROGRESS - 1 <= number <= _MOST_PROGRESS for number in numbers):
            raise ValueError(f"Progress {current} of {total} exceeds 64-bit integers.")
        return cls(*numbers, storable_text(str(message))[:MAX_PROGRESS_CHARACTERS])


@dataclass(slots=True)
class Settlement:
    """The end of one execution and the next state of its job.

    ``due_in_seconds`` is for ``retryable`` and ``scheduled``, and may be for ``suspended``. ``is_sample``: the measured
    time trains the predictor. ``is_lost``: the end is unknown, so time counts up to the worker's last heartbeat.
    ``event_data`` goes into the event. ``peak_memory_kib``, ``cpu_us`` and ``io_bytes`` are those of `Costs`.

    ``measured_us`` is the slot time by the worker's steady clock, from ``began_us`` after the start, which all
    executions of a message share. ``began_us`` is None if the execution was never run. Without ``measured_us`` the
    database's clock measures. Either is at most ``most_us``, by default `longest_us`. ``merge_disabled``: from
    now on the job shares no message.

    ``is_end_announced``: the slot was announced to be free before. ``dependencies`` are those that it used; an error of
    one of them does not count against the kind. ``retry_after_seconds`` is the wait that the dependency requested.
    ``progress`` is the last report, if it is not written yet. ``owner`` is (tenant, job), for which the result is
    encrypted; None: look it up. ``has_plain_error``: the message is the platform's own, about a missing key.
    """

    execution_id: UUID
    fence: int
    outcome: str
    state: str
    event: str
    attempt_delta: int = 0
    crash_delta: int = 0
    result: Any = None
    checkpoint: Any = None
    due_in_seconds: float | None = None
    error_type: str = ""
    error_message: str = ""
    error_fingerprint: str = ""
    traceback: str = ""
    dead_letter_reason: str = ""
    is_sample: bool = False
    is_lost: bool = False
    event_data: dict[str, Any] = field(default_factory=dict)
    peak_memory_kib: int | None = None
    cpu_us: int | None = None
    io_bytes: int | None = None
    began_us: int | None = None
    measured_us: int | None = None
    most_us: int | None = None
    merge_disabled: bool = False
    dependencies: Sequence[DependencyReport] = ()
    retry_after_seconds: float | None = None
    progress: Progress | None = None
    owner: tuple[UUID, UUID] | None = None
    is_end_announced: bool = False
    has_plain_error: bool = False

    @classmethod
    def completed(
        cls, execution_id: UUID, fence: int, result: Any, *, owner: tuple[UUID, UUID] | None = None
    ) -> Settlement:
        """Return the settlement of a completed job."""
        return cls(
            execution_id,
            fence,
            outcome=Execution.Outcome.COMPLETED,
            state=JobState.COMPLETED,
            event="execution.completed",
            result=result,
            is_sample=True,
            owner=owner,
        )

    def bill(self, costs: Costs, *, began_us: int | None = None, measured_us: int | None = None) -> None:
        """Set the cost of the execution after its run; raise ValueError for measured time without a start."""
        if measured_us and began_us is None:
            raise ValueError("Measured time requires a start time.")
        self.cpu_us, self.peak_memory_kib, self.io_bytes = costs.cpu_us, costs.peak_memory_kib, costs.io_bytes
        self.began_us, self.measured_us = began_us, measured_us

    @property
    def frees_slot(self) -> bool:
        """Return whether the end frees a slot that was not announced to be free, or gives a slot a job at once."""
        return not self.is_end_announced or self.state == JobState.AVAILABLE

    @property
    def sealed_values(self) -> dict[str, Any]:
        """Return the values of the settlement that must be encrypted; empty ones are not."""
        return {name: value for name in _SEALED if (value := getattr(self, name))}

    @property
    def has_secrets(self) -> bool:
        """Return whether a value or an error text of the settlement must be encrypted."""
        reports = any(report.error_message for report in self.dependencies)
        return reports or bool(self.sealed_values or self.error_message or self.traceback)


_NO_COLUMNS = {"execution_id", "owner", "event_data", "is_end_announced", "has_plain_error"}
# Not `asdict`, which would copy a whole result.
_FIELDS = tuple(item for item in fields(Settlement) if item.name not in _NO_COLUMNS)
_NAMES = tuple(item.name for item in _FIELDS)
_VALUES = attrgetter(*_NAMES)
_USUAL = tuple(None if item.default is MISSING else item.default for item in _FIELDS)
_IDS = ("charge_id", "event_id")
_IDS_OF_ERRORS = (*_IDS, "dead_letter_id", "error_id")
_SEALED = {name: sealed_field(Job, name) for name in ("result", "checkpoint")}


@dataclass(frozen=True, slots=True)
class SettledExecution:
    """An execution that `settle` has ended, with facts for observers."""

    execution_id: UUID
    job_id: UUID
    tenant_id: UUID
    kind: str
    outcome: str
    state: str
    measured_us: int
    queue: str
    tier: str

    @property
    def seconds(self) -> float:
        """Return the slot time used, in seconds."""
        return self.measured_us / 1_000_000


def settle(
    settlements: Sequence[Settlement],
    *,
    actor: str = "system",
    before: Callable[[], object] | None = None,
    effects: Callable[[], object] | None = None,
) -> list[SettledExecution]:
    """Settle executions in one transaction; return those that were still live under their fence.

    ``before`` runs first in the transaction, across tenants. ``effects`` run last in it, as the restricted role in the
    context of the job's tenant; they are only allowed with exactly one settlement. Raise FenceLostError if that
    execution is not live under its fence any more; the transaction is then rolled back.
    """
    if not settlements:
        return []
    # Queries of foreign code use the default planner settings.
    with all_tenants(None if effects else BY_INDEX):
        if before is not None:
            before()
        settled = settle_here(settlements, actor=actor)
        if effects is not None:
            if not settled:
                raise FenceLostError(f"Execution {settlements[0].execution_id} was superseded.")
            with tenant_context(settled[0].tenant_id):
                effects()
    return settled


def settle_here(settlements: Sequence[Settlement], *, actor: str) -> list[SettledExecution]:
    """Settle executions as `settle` does, within the caller's transaction and tenant context."""
    values = settlement_values(settlements, actor=actor)
    with prepared_cursor(class_row(SettledExecution)) as cursor:
        cursor.execute(_statement_for(settlements), values)
        settled: list[SettledExecution] = cursor.fetchall()
    is_announced = not any(settlement.frees_slot for settlement in settlements)
    wake_on_commit({one.queue for one in settled}, is_end_announced=is_announced)
    if settled:
        # A failing observer must not undo the settlement.
        transaction.on_commit(lambda: signals.executions_ended.send(None, executions=settled), robust=True)
    return settled


def settlement_values(settlements: Sequence[Settlement], *, actor: str) -> dict[str, Any]:
    """Return the parameters of a statement that settles executions."""
    owners = _owners_of(settlements) if is_sealing() else {}
    # PostgreSQL before 18 has no UUIDv7, so ids are created here.
    ids = (new.hex for new in uuid7s(sum(len(_ids_of(settlement)) for settlement in settlements)))
    rows = [_row(settlement, owners.get(settlement.execution_id), ids) for settlement in settlements]
    return {"rows": json.dumps(rows), "actor": actor, "most_us": longest_us()}


def _statement_for(settlements: Sequence[Settlement]) -> str:
    """Return the statement; executions without dependencies do not pay for them."""
    is_one = len(settlements) == 1
    if any(settlement.dependencies for settlement in settlements):
        return _SETTLE_ONE_NAMING if is_one else _SETTLE_MANY_NAMING
    return _SETTLE_ONE if is_one else _SETTLE_MANY


def longest_us(kind: str = "") -> int:
    """Return the most slot time in microseconds that an execution of ``kind`` can use: its time limit plus a lease."""
    return int(1_000_000 * (registry.timeout_seconds(kind) + platform_settings.LEASE_SECONDS))


def _owners_of(settlements: Sequence[Settlement]) -> dict[UUID, tuple[UUID, UUID]]:
    """Return (tenant, job) of each live settlement with values to encrypt, and load the tenants' keys."""
    sealing = [settlement for settlement in settlements if settlement.has_secrets]
    owners = {settlement.execution_id: settlement.owner for settlement in sealing if settlement.owner is not None}
    strays = [settlement.execution_id for settlement in sealing if settlement.owner is None]
    if strays:
        found = LiveExecution.objects.filter(pk__in=strays).values_list("pk", "tenant_id", "job_id")
        owners |= {execution_id: (tenant_id, job_id) for execution_id, tenant_id, job_id in found}
    preload_keys({tenant_id for tenant_id, _ in owners.values()})
    return owners


def _row(settlement: Settlement, owner: tuple[UUID, UUID] | None, ids: Iterator[str]) -> dict[str, Any]:
    # The statement has the defaults: most jobs succeed, and report little.
    row = {
        name: value for name, value, usual in zip(_NAMES, _VALUES(settlement), _USUAL, strict=True) if value != usual
    }
    row["execution_id"] = settlement.execution_id.hex
    if settlement.event_data:
        row["event_data"] = settlement.event_data
    if settlement.progress is not None:
        row["progress"] = asdict(settlement.progress)
    for name, value in settlement.sealed_values.items():
        if owner is not None:
            tenant_id, job_id = owner
            row[name] = _SEALED[name].stored(value, tenant_id=tenant_id, row_id=job_id)
        else:
            # Without encryption, store the value as it is. Otherwise the execution is not live any more, and nothing is
            # settled.
            row[name] = None if is_sealing() else quote(value)
    if settlement.error_type:
        row["error_type"] = storable_text(settlement.error_type)
    if settlement.error_message or settlement.traceback:
        texts = settlement.error_message, settlement.traceback
        row |= error_columns(*texts, owner, is_plain=settlement.has_plain_error)
    if settlement.dependencies:
        row["dependencies"] = [dependency_row(report, owner) for report in settlement.dependencies]
        row["is_blamed"] = any(report.is_up is False for report in settlement.dependencies)
    row.update(zip(_ids_of(settlement), ids, strict=False))
    return row


def _ids_of(settlement: Settlement) -> Sequence[str]:
    return _IDS if settlement.outcome == Execution.Outcome.COMPLETED else _IDS_OF_ERRORS
