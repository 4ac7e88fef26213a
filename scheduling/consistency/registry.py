"""Registry of the consistency checks; an app lists its own under the path in ``state_checks`` of its AppConfig.

A check compares one range of rows in one transaction. Each of its statements sees one snapshot, so work in flight is
not reported as a fault. A range can be checked again, to confirm a fault and to prove a repair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string
from django.utils.translation import gettext_noop

from scheduling.exceptions import CheckUnknownError
from tenants.access.permissions import Permission
from tenants.translation import LocalizableText

type Cursor = Mapping[str, Any]

# Name of the group of checks without an interval of their own.
STATE: Final = "state"
# Interval of a check that no upkeep task runs.
NEVER: Final = timedelta.max


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Kind of fault with a stable code. ``repair`` describes how it is repaired; it is empty if it cannot be."""

    code: str
    text: str
    repair: str = ""


@dataclass(frozen=True, slots=True)
class ConsistencyFault:
    """A fault found in one row; ``subject`` is the row's id, ``detail`` says what is wrong.

    A ``detail`` that is a LocalizableText is a sentence that names the row itself.
    """

    code: str
    tenant_id: UUID | None
    subject: str
    detail: str | LocalizableText = ""

    @property
    def key(self) -> tuple[str, UUID | None, str]:
        """Return what identifies the fault when the range is checked again; numbers in its detail may have changed."""
        return (self.code, self.tenant_id, self.subject)

    @property
    def example(self) -> str | LocalizableText:
        """Return the row and the detail in words, for a finding and the audit log."""
        if isinstance(self.detail, LocalizableText):
            return self.detail
        return " ".join(part for part in (self.subject, self.detail) if part)


NOT_PROVED = FaultKind("not_proved", gettext_noop("Part of the stored rows was not compared."))


@dataclass(frozen=True, slots=True)
class CheckRange:
    """Range of rows to check: after the key ``after``, up to the key ``until``.

    If ``until`` is None, the check takes as many rows as it compares at once. ``options`` are the caller's options that
    the check supports.
    """

    after: Cursor = field(default_factory=dict)
    until: Cursor | None = None
    tenant_id: UUID | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckPage:
    """Result of checking one range: its faults, and the key after which the next range begins, None after the last.

    ``counts`` are numbers of compared things by name.
    """

    piece: CheckRange
    faults: Sequence[ConsistencyFault] = ()
    next: Cursor | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """Request to repair faults of one kind and one tenant that were found in one range."""

    code: str
    tenant_id: UUID | None
    faults: Sequence[ConsistencyFault]
    piece: CheckRange
    reason: str = ""

    @property
    def subjects(self) -> list[str]:
        """Return the ids of the faulty rows."""
        return [fault.subject for fault in self.faults]


@dataclass(frozen=True, slots=True)
class StateCheck:
    """A consistency check, with the kinds of faults that it finds.

    ``look`` checks one range. ``repair`` runs under all_tenants(), in its own transaction, which also writes the audit
    entry; it must compare again under the locks that it takes. With an ``interval`` the upkeep task ``verify_<name>``
    runs the check, displayed by ``title`` and ``text``; without one it is part of the daily task ``verify_state``.
    ``options`` are the names of options that callers may give. ``knows_tenants`` means that it can check one tenant
    alone; ``tenant_permission`` is then the permission to request the upkeep task for a tenant, None if it cannot be
    requested.
    """

    name: str
    kinds: Sequence[FaultKind]
    look: Callable[[CheckRange], CheckPage]
    repair: Callable[[RepairOrder], None] | None = None
    _: KW_ONLY
    interval: timedelta | None = None
    title: str = ""
    text: str = ""
    options: Sequence[str] = ()
    knows_tenants: bool = True
    tenant_permission: Permission | None = None


class StateCheckInvalidError(Exception):
    """The registered checks are invalid: two checks have the same name, or a code has two meanings."""


@cache
def state_checks() -> Sequence[StateCheck]:
    """Return all checks in the order in which the apps list them; counters come after the rows that they count."""
    found: dict[str, StateCheck] = {}
    codes: dict[str, FaultKind] = {}
    for config in apps.get_app_configs():
        path = getattr(config, "state_checks", "")
        for check in import_string(path.replace(":", ".")) if path else ():
            if check.name == STATE or found.setdefault(check.name, check) is not check:
                raise StateCheckInvalidError(f"{path} has the name {check.name!r}, which another check already has.")
            for kind in check.kinds:
                if codes.setdefault(kind.code, kind) != kind:
                    raise StateCheckInvalidError(f"{path} gives the code {kind.code!r} a second meaning.")
    return tuple(found.values())


def find_checks(names: Sequence[str] = ()) -> list[StateCheck]:
    """Return the checks of these names, or all if no names are given; raise CheckUnknownError for an unknown name.

    The name `state` stands for all checks without an interval.
    """
    checks = state_checks()
    known = [STATE, *(check.name for check in checks)]
    for name in names:
        if name not in known:
            raise CheckUnknownError(
                "There is no check %(name)r; there are: %(known)s.", {"name": name, "known": ", ".join(known)}
            )
    has_group = STATE in names
    return [check for check in checks if not names or check.name in names or (has_group and check.interval is None)]


def fault_kinds() -> Mapping[str, FaultKind]:
    """Return every kind of fault by its code."""
    return {kind.code: kind for check in state_checks() for kind in check.kinds} | {NOT_PROVED.code: NOT_PROVED}
