"""Pure rules of controls: their parameters, at which checkpoints each applies, and whether a job fails it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from scheduling.controls.detectors import DETECTORS, find


class Checkpoint(StrEnum):
    """When a control is checked."""

    SUBMISSION = "submission"
    START = "start"
    EFFECT = "effect"
    END = "end"


class Facts(NamedTuple):
    """What is known of a job at a checkpoint. ``document`` is its payload, or its result at the end."""

    kind: str
    tenant_id: UUID
    now: datetime
    region: str = ""
    tags: Iterable[str] = ()
    meta: Mapping[str, Any] = {}
    document: Any = None


class Terms(NamedTuple):
    """A control: what it checks, when, and whose jobs; without a tenant or kind those of all."""

    id: str
    name: str
    checkpoint: str
    rule: str
    parameters: Mapping[str, Any]
    tenant_id: str | None = None
    kind: str = ""

    def covers(self, kind: str, tenant_id: UUID) -> bool:
        """Return whether the control is about jobs of this kind and tenant."""
        return self.kind in ("", kind) and self.tenant_id in (None, str(tenant_id))

    def fails(self, facts: Facts) -> bool:
        """Return whether a job fails the control."""
        return RULES[self.rule].is_failed(self.parameters, facts)

    def window_end(self, now: datetime) -> datetime | None:
        """Return when the maintenance window ends that is open now; None for other rules."""
        return window_end(self.parameters, now) if self.rule == "maintenance_window" else None


class Rule(NamedTuple):
    """A kind of rule: the checkpoints at which it applies, the schema of its parameters, and its check."""

    checkpoints: tuple[Checkpoint, ...]
    properties: Mapping[str, Any]
    is_failed: Callable[[Mapping[str, Any], Facts], bool]

    @property
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters."""
        return {
            "type": "object",
            "properties": dict(self.properties),
            "additionalProperties": False,
            "minProperties": 1,
        }


def window_end(parameters: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when the daily window from ``from`` to ``to`` (UTC) on ``days`` ends; None if it is not open now."""
    begins, ends = (
        time.fromisoformat(parameters.get("from", "00:00")),
        time.fromisoformat(parameters.get("to", "00:00")),
    )
    now = now.astimezone(UTC)
    for day in (now.date() - timedelta(days=1), now.date()):
        start = datetime.combine(day, begins, UTC)
        end = datetime.combine(day + timedelta(days=ends <= begins), ends, UTC)
        if day.weekday() in parameters.get("days", range(7)) and start <= now < end:
            return end
    return None


def allows_host(hosts: Iterable[str], host: str) -> bool:
    """Return whether a host is listed, or is below a listed ``*.domain``."""
    host = host.lower()
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in hosts)


def _lacks_tags(parameters: Mapping[str, Any], facts: Facts) -> bool:
    if not {*parameters.get("tags", ())} <= {*facts.tags}:
        return True
    labels = parameters.get("labels", {}).items()
    return any(name not in facts.meta or (values and facts.meta[name] not in values) for name, values in labels)


def _is_not_allowed(parameters: Mapping[str, Any], facts: Facts) -> bool:
    kinds, regions = parameters.get("kinds"), parameters.get("regions")
    return (kinds is not None and facts.kind not in kinds) or (regions is not None and facts.region not in regions)


def _texts(pattern: str = "", most: int = 50) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 253} | ({"pattern": pattern} if pattern else {})
    return {"type": "array", "items": text, "minItems": 1, "maxItems": most, "uniqueItems": True}


_LABELS: Final = {"type": "object", "maxProperties": 20, "additionalProperties": {**_texts(), "minItems": 0}}
_TIME: Final = {"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z"}
_DAYS: Final = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 6}, "minItems": 1, "maxItems": 7}
_WAITING: Final = (Checkpoint.SUBMISSION, Checkpoint.START)
_HOST: Final = r"^(\*\.)?[a-z0-9]([a-z0-9.:-]*[a-z0-9])?\Z"

RULES: Final[Mapping[str, Rule]] = {
    "required_tags": Rule((Checkpoint.SUBMISSION,), {"tags": _texts(), "labels": _LABELS}, _lacks_tags),
    "allowed_kinds": Rule(_WAITING, {"kinds": _texts(), "regions": _texts()}, _is_not_allowed),
    "payload_detector": Rule(
        (Checkpoint.SUBMISSION, Checkpoint.END),
        {"detect": {"type": "array", "items": {"enum": [*DETECTORS]}, "minItems": 1, "uniqueItems": True}},
        lambda parameters, facts: bool(find(facts.document, parameters["detect"])),
    ),
    # The host is only known when it is called: `allows_host` decides there.
    "egress_hosts": Rule((Checkpoint.EFFECT,), {"hosts": _texts(_HOST)}, lambda parameters, facts: False),
    "maintenance_window": Rule(
        _WAITING,
        {"from": _TIME, "to": _TIME, "days": _DAYS},
        lambda parameters, facts: window_end(parameters, facts.now) is not None,
    ),
    # Workers of a region read a tenant's data key there.
    "key_residency": Rule(_WAITING, {"regions": _texts()}, _is_not_allowed),
}
