"""Which checks of the state there are. An app lists its own under the dotted path in ``state_checks`` of its AppConfig.

A check looks at one piece of what is stored, in one transaction, by statements each of which sees one moment: so what
is just in flight is no fault. A piece can be looked at again, which is how a fault is confirmed and a repair proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string

type Cursor = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A thing that can be wrong, under a stable code; ``repair`` says what repairing it does, empty if nothing does."""

    code: str
    text: str
    repair: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; ``subject`` is the id of the row, and ``detail`` says more where there is more."""

    code: str
    tenant_id: UUID | None
    subject: str
    detail: str = ""

    @property
    def key(self) -> tuple[str, UUID | None, str]:
        """What makes it the same fault at another look, whatever the numbers in its detail have become."""
        return (self.code, self.tenant_id, self.subject)


@dataclass(frozen=True, slots=True)
class Piece:
    """What lies behind ``after``, as JSON holds it, up to ``until``; None: as much as the check takes in one look."""

    after: Cursor = field(default_factory=dict)
    until: Cursor | None = None
    tenant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a piece, whose end is known by now, and where to go on; None behind the last."""

    piece: Piece
    faults: Sequence[Fault] = ()
    next: Cursor | None = None


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """What is to be repaired: faults of one kind, of one tenant, found in one piece."""

    code: str
    tenant_id: UUID | None
    subjects: Sequence[str]
    piece: Piece
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StateCheck:
    """A walk over something, and what it can find.

    ``repair`` runs behind the door, inside a transaction of its own that also holds the audit entry; it must look
    again under the locks that it takes. ``has_own_task``: an upkeep task of its own does the same, so that of the
    whole state need not. ``knows_tenants``: it can be asked about one tenant alone.
    """

    name: str
    kinds: Sequence[FaultKind]
    look: Callable[[Piece], Look]
    repair: Callable[[RepairOrder], None] | None = None
    has_own_task: bool = False
    knows_tenants: bool = True


class StateCheckInvalidError(Exception):
    """Two checks of the state have one name, or one code means two things."""


def state_checks() -> Sequence[StateCheck]:
    """All checks, in the order in which the apps list them; what repairs others' counters comes after them."""
    return _all()


def fault_kinds() -> Mapping[str, FaultKind]:
    """Everything that can be found, by its code."""
    return {kind.code: kind for check in _all() for kind in check.kinds}


@cache
def _all() -> tuple[StateCheck, ...]:
    found: dict[str, StateCheck] = {}
    codes: dict[str, FaultKind] = {}
    for config in apps.get_app_configs():
        path = getattr(config, "state_checks", "")
        for check in import_string(path.replace(":", ".")) if path else ():
            if found.setdefault(check.name, check) is not check:
                raise StateCheckInvalidError(f"{path} takes the name {check.name!r}, which another check has already.")
            for kind in check.kinds:
                if codes.setdefault(kind.code, kind) != kind:
                    raise StateCheckInvalidError(f"{path} gives the code {kind.code!r} a second meaning.")
    return tuple(found.values())
