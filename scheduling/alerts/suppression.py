"""Pure rules of what keeps an alert from notifying: a silence, or an alert that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from scheduling.alerts.rules import PRIVATE

if TYPE_CHECKING:
    from scheduling.models import AlertSilence

# Objects of this type belong to the platform as a whole, so that their alerts explain those of every other object.
PLATFORM_WIDE = "check:"


@dataclass(frozen=True, slots=True)
class Subject:
    """The facts of an alert that decide whom to notify; ``inhibits`` are the measures whose alerts it explains."""

    id: UUID
    tenant_id: UUID | None
    rule_id: UUID | None
    measure: str
    object_key: str
    parents: Sequence[str] = ()
    about_tenant: UUID | None = None
    inhibits: Sequence[str] = ()
    severity: str = "warning"

    @property
    def key(self) -> str:
        """Return the object's key without the tenant."""
        return self.object_key.partition(PRIVATE)[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What keeps an alert from notifying, if anything."""

    silenced_by: UUID | None = None
    inhibited_by: UUID | None = None

    @property
    def is_sent(self) -> bool:
        """Return whether it notifies."""
        return self.silenced_by is None and self.inhibited_by is None


def judge(subject: Subject, sources: Iterable[Subject], silences: Iterable[AlertSilence]) -> Verdict:
    """Return the verdict on an alert; ``sources`` are pending and firing alerts that inhibit others."""
    for silence in silences:
        if covers(silence, subject):
            return Verdict(silenced_by=silence.id)
    for source in sources:
        if _explains(source, subject):
            return Verdict(inhibited_by=source.id)
    return Verdict()


def covers(silence: AlertSilence, subject: Subject) -> bool:
    """Return whether the silence matches the alert; its empty conditions match every alert of its owner."""
    objects = {subject.key, *subject.parents}
    return (
        silence.tenant_id == subject.tenant_id
        and silence.rule_id in (None, subject.rule_id)
        and silence.object_key in ("", subject.object_key, subject.key)
        and (not silence.only_kind or f"kind:{silence.only_kind}" in objects)
        and (not silence.only_queue or f"queue:{silence.only_queue}" in objects)
        and silence.only_tenant in (None, subject.about_tenant)
    )


def _explains(source: Subject, subject: Subject) -> bool:
    if source.id == subject.id or subject.measure not in source.inhibits:
        return False
    if source.tenant_id not in (None, subject.tenant_id):
        return False
    explains_all = source.key.startswith(PLATFORM_WIDE) and not subject.key.startswith(PLATFORM_WIDE)
    return explains_all or source.key in (subject.key, *subject.parents)
