"""Settlement: what becomes of a job when an execution of it ends, in one statement.

A settlement takes hold only while its execution is live under its own fence. Whoever comes
late, a worker believed dead or a second verdict, finds no row and changes nothing.
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
from scheduling.conf import BY_INDEX
from scheduling.dispatch.wakes import wake_on_commit
from scheduling.exceptions import FenceLostError
from scheduling.kit import registry
from scheduling.models import Execution, Job, LiveExecution
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7s
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.encryption.data_keys import bring, is_sealing
from tenants.encryption.envelope import quote
from tenants.encryption.fields import sealed_field

_SQL = load_sql(__file__)
_SETTLE_ONE, _SETTLE_MANY = _SQL["settle_one"], _SQL["settle_many"]
_SETTLE_ONE_NAMING, _SETTLE_MANY_NAMING = _SQL["settle_one_naming"], _SQL["settle_many_naming"]

MAX_PROGRESS_CHARACTERS = 200
_MOST_PROGRESS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class DependencyReport:
    """A dependency that an execution has named, and how it answered: well, with an error, or None for neither.

    ``is_own_timeout``: the job waited less than is usual. Then the error counts for the tenant's own breaker alone.
    """

    name: str
    is_shared: bool
    is_up: bool | None = None
    fingerprint: str = ""
    error_type: str = ""
    error_message: str = ""
    retry_after_seconds: float | None = None
    is_own_timeout: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``current`` of ``total``, in units of its own."""

    current: int
    total: int
    message: str

    @classmethod
    def of(cls, current: int, total: int, message: str) -> Progress:
        """What a processor reports, fit to be stored. Raises ValueError for what is no number of 64 bits."""
        numbers = int(current), int(total)
        if not all(-_MOST_PROGRESS - 1 <= number <= _MOST_PROGRESS for number in numbers):
            raise ValueError(f"Progress is reported in numbers of 64 bits, not as {current} of {total}.")
        return cls(*numbers, storable_text(str(message))[:MAX_PROGRESS_CHARACTERS])


@dataclass(slots=True)
class Settlement:
    """How one execution ended and where its job goes.

    ``due_in_seconds`` belongs to ``retryable`` and ``scheduled``, and may to ``suspended``. ``is_sample`` says whether
    the measured time teaches the predictor; ``is_lost`` that time is measured up to the worker's
    last heartbeat, since nobody knows when it ended. ``event_data`` goes into the event;
    ``peak_memory_kib`` is the most resident memory that was seen, if anybody looked.

    ``measured_us`` is the slot time by the steady clock of its worker, from ``began_us`` after the start that it may
    share with others of its message; ``began_us`` is None if its turn never came. Only where no worker has measured
    is the time read from the clock of the database. Either is at most ``most_us``, which is `longest_us` unless given.
    ``travels_alone`` says that the job is merged with no other from now on.

    ``dependencies`` are those that it has named; an error of one of them is not the kind's own.
    ``retry_after_seconds`` is for how long the other side wants to be left alone. ``progress`` is the last report, if
    nobody has written it. ``owner`` is the tenant and the job, for whom its result is sealed; who leaves it out has it
    looked up.
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
    began_us: int | None = None
    measured_us: int | None = None
    most_us: int | None = None
    travels_alone: bool = False
    dependencies: Sequence[DependencyReport] = ()
    retry_after_seconds: float | None = None
    progress: Progress | None = None
    owner: tuple[UUID, UUID] | None = None

    def bill(self, *, peak_memory_kib: int | None, began_us: int | None = None, measured_us: int | None = None) -> None:
        """Say what the execution has cost, which is known when it is over. ValueError for time that began at none."""
        if measured_us and began_us is None:
            raise ValueError("What was measured has begun somewhere.")
        self.peak_memory_kib, self.began_us, self.measured_us = peak_memory_kib, began_us, measured_us

    @property
    def sealed_values(self) -> dict[str, Any]:
        """What of it is not to be read in the database; what says nothing is left as it is."""
        return {name: value for name in _SEALED if (value := getattr(self, name))}


# Not `asdict`, which would copy a whole result.
_FIELDS = tuple(item for item in fields(Settlement) if item.name not in {"execution_id", "owner", "event_data"})
_NAMES = tuple(item.name for item in _FIELDS)
_VALUES = attrgetter(*_NAMES)
_USUAL = tuple(None if item.default is MISSING else item.default for item in _FIELDS)
_TEXTS = {"error_type", "error_message", "traceback"}
_IDS = ("charge_id", "event_id")
_IDS_OF_ERRORS = (*_IDS, "dead_letter_id", "error_id")
_SEALED = {name: sealed_field(Job, name) for name in ("result", "checkpoint")}


@dataclass(frozen=True, slots=True)
class Settled:
    """An execution whose settlement took hold."""

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
        """Slot time that it has used."""
        return self.measured_us / 1_000_000


def settle(
    settlements: Sequence[Settlement],
    *,
    actor: str = "system",
    before: Callable[[], object] | None = None,
    effects: Callable[[], object] | None = None,
) -> list[Settled]:
    """Settle executions in one transaction; those that took hold. ``before`` is written in it first, behind the door.

    ``effects`` run as the restricted role with the job's tenant set, in the same
    transaction; they belong to exactly one settlement. Raises FenceLostError when that one
    did not take hold, so that nothing of it remains.
    """
    if not settlements:
        return []
    # What others' code asks is planned as ever.
    with all_tenants(None if effects else BY_INDEX):
        if before is not None:
            before()
        settled = settle_here(settlements, actor=actor)
        if effects is not None:
            if not settled:
                raise FenceLostError(f"Execution {settlements[0].execution_id} is not ours any more.")
            with tenant_context(settled[0].tenant_id):
                effects()
    return settled


def settle_here(settlements: Sequence[Settlement], *, actor: str) -> list[Settled]:
    """The same within the caller's transaction and scope."""
    owners = _owners_of(settlements) if is_sealing() else {}
    # Ids come from here: PostgreSQL before 18 has no UUIDv7 of its own.
    ids = (new.hex for new in uuid7s(sum(len(_ids_of(settlement)) for settlement in settlements)))
    rows = [_row(settlement, owners.get(settlement.execution_id), ids) for settlement in settlements]
    with prepared_cursor(class_row(Settled)) as cursor:
        values: dict[str, Any] = {"rows": json.dumps(rows), "actor": actor, "most_us": longest_us()}
        cursor.execute(_statement_for(settlements), values)
        settled: list[Settled] = cursor.fetchall()
    wake_on_commit({one.queue for one in settled})
    if settled:
        # It is settled, whatever an observer makes of it.
        transaction.on_commit(lambda: signals.executions_ended.send(None, executions=settled), robust=True)
    return settled


def _statement_for(settlements: Sequence[Settlement]) -> str:
    """Return the statement; executions that have named no dependency do not pay for any."""
    is_one = len(settlements) == 1
    if any(settlement.dependencies for settlement in settlements):
        return _SETTLE_ONE_NAMING if is_one else _SETTLE_MANY_NAMING
    return _SETTLE_ONE if is_one else _SETTLE_MANY


def longest_us(kind: str = "") -> int:
    """Return the most slot time that an execution of ``kind`` can have used, in microseconds: its limit and a lease."""
    return int(1_000_000 * (registry.timeout_seconds(kind) + platform_settings.LEASE_SECONDS))


def _owners_of(settlements: Sequence[Settlement]) -> dict[UUID, tuple[UUID, UUID]]:
    """The tenant and the job of each settlement that has something to seal and still is to be had; keys at hand."""
    sealing = [settlement for settlement in settlements if settlement.sealed_values]
    owners = {settlement.execution_id: settlement.owner for settlement in sealing if settlement.owner is not None}
    strays = [settlement.execution_id for settlement in sealing if settlement.owner is None]
    if strays:
        found = LiveExecution.objects.filter(pk__in=strays).values_list("pk", "tenant_id", "job_id")
        owners |= {execution_id: (tenant_id, job_id) for execution_id, tenant_id, job_id in found}
    bring({tenant_id for tenant_id, _ in owners.values()})
    return owners


def _row(settlement: Settlement, owner: tuple[UUID, UUID] | None, ids: Iterator[str]) -> dict[str, Any]:
    # What is as ever, the statement knows by itself: most jobs end well, and say little.
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
            # Nothing is sealed; or nothing is settled either, for the execution is not live any more.
            row[name] = None if is_sealing() else quote(value)
    for name in _TEXTS & row.keys():
        row[name] = storable_text(row[name])
    if settlement.dependencies:
        row["dependencies"] = [_dependency_row(report) for report in settlement.dependencies]
        row["is_blamed"] = any(report.is_up is False for report in settlement.dependencies)
    row.update(zip(_ids_of(settlement), ids, strict=False))
    return row


def _ids_of(settlement: Settlement) -> Sequence[str]:
    return _IDS if settlement.outcome == Execution.Outcome.COMPLETED else _IDS_OF_ERRORS


def _dependency_row(report: DependencyReport) -> dict[str, Any]:
    return asdict(report) | {
        "error_type": storable_text(report.error_type),
        "error_message": storable_text(report.error_message),
    }


def storable_text(text: str) -> str:
    """``text`` without what PostgreSQL cannot store: NUL characters and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
