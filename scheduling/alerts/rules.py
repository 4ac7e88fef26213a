"""Pure rules of alerts: when one is pending, fires and resolves, when a rule is active, and which rules are useless."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tenants.translation import translate

# These functions read attributes of rows; they neither query nor change them.
if TYPE_CHECKING:
    from scheduling.models import AlertRoute, AlertRule

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"
# Separates the object's name from a tenant's id in the key of an object that only this tenant's rules see.
PRIVATE = "@"


class Comparison(StrEnum):
    """How a value is compared with the threshold."""

    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"

    @property
    def is_high_bad(self) -> bool:
        """Return whether greater values are worse."""
        return self in (Comparison.GT, Comparison.GE)

    def holds(self, value: float, threshold: float) -> bool:
        """Return whether the value is beyond the threshold."""
        equals = self in (Comparison.GE, Comparison.LE) and value == threshold
        return equals or (value > threshold if self.is_high_bad else value < threshold)

    def worse(self, one: float, other: float) -> float:
        """Return the worse of two values."""
        return max(one, other) if self.is_high_bad else min(one, other)


class Per(StrEnum):
    """The type of the objects that a measure has values of; it begins an object's key."""

    KIND = "kind"
    QUEUE = "queue"
    POOL = "pool"
    TENANT = "tenant"
    CAUSE = "cause"
    TASK = "task"
    CHECK = "check"
    INCIDENT = "incident"
    OBJECTIVE = "objective"
    SERIES = "series"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured value of an object. ``parents`` are the keys of objects that it belongs to, such as its queue's pool.

    ``tenant_id`` is the tenant that the object belongs to; ``tenants`` are the slugs of those affected.
    """

    object_key: str
    value: float
    label: str = ""
    tenant_id: UUID | None = None
    parents: Sequence[str] = ()
    tenants: tuple[str, ...] = ()
    tenants_count: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_private(self) -> bool:
        """Return whether only the tenant's own rules compare it."""
        return PRIVATE in self.object_key


@dataclass(frozen=True, slots=True)
class Tick:
    """An evaluation: its time, and the seconds since the previous one, at most two intervals."""

    at: datetime
    elapsed: float


@dataclass(frozen=True, slots=True)
class AlertState:
    """State of an alert between two evaluations."""

    state: str
    value: float
    peak: float
    held_seconds: float = 0.0
    clear_held_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleFault:
    """Reason why a rule is useless, at one of its fields."""

    field: str
    code: str
    text: str


def step(tick: Tick, state: AlertState | None, value: float | None, rule: AlertRule) -> AlertState | None:
    """Return the state after an evaluation; ``value`` is None if the object has none, which is clear.

    None means that there is no alert: nothing has happened, or a pending one has cleared.
    """
    comparison = Comparison(rule.comparison)
    is_beyond = value is not None and comparison.holds(value, rule.threshold)
    if state is None:
        if value is None or not is_beyond or not is_active(rule, tick.at):
            return None
        return _fire_if_held(AlertState(PENDING, value, value), rule)
    if value is not None:
        state = replace(state, value=value, peak=comparison.worse(value, state.peak))
    if state.state == PENDING:
        if not is_beyond:
            return None
        if not is_active(rule, tick.at):
            return state
        return _fire_if_held(replace(state, held_seconds=state.held_seconds + tick.elapsed), rule)
    held = state.held_seconds + tick.elapsed
    clear_at = rule.threshold if rule.clear_threshold is None else rule.clear_threshold
    if value is not None and comparison.holds(value, clear_at):
        return replace(state, held_seconds=held, clear_held_seconds=0.0)
    cleared = state.clear_held_seconds + tick.elapsed
    name = RESOLVED if cleared >= rule.clear_seconds else FIRING
    return replace(state, state=name, held_seconds=held, clear_held_seconds=cleared)


def _fire_if_held(state: AlertState, rule: AlertRule) -> AlertState:
    return replace(state, state=FIRING, held_seconds=0.0) if state.held_seconds >= rule.for_seconds else state


def is_active(hours: AlertRule | AlertRoute, at: datetime) -> bool:
    """Return whether the wall clock in the zone of a rule or route is within its days and hours, if it has any.

    Hours over midnight belong to the day of their start.
    """
    local = at.astimezone(ZoneInfo(hours.zone))
    day = local.date()
    if hours.active_from is not None and hours.active_until is not None:
        begins, ends, now = hours.active_from, hours.active_until, local.time()
        if begins <= ends:
            if not begins <= now < ends:
                return False
        elif now < ends:
            day -= timedelta(days=1)
        elif now < begins:
            return False
    return not hours.active_days or day.isoweekday() in hours.active_days


def matches(rule: AlertRule, sample: Sample) -> bool:
    """Return whether the rule compares the sample."""
    if not sample.object_key.startswith(f"{rule.per}:"):
        return False
    if rule.tenant_id is None:
        if sample.is_private or rule.only_tenant not in (None, sample.tenant_id):
            return False
    elif rule.tenant_id != sample.tenant_id:
        return False
    name = sample.object_key.partition(PRIVATE)[0]
    if rule.per == Per.QUERY and name != query_key(rule.log_query):
        return False
    if not (rule.only_kind or rule.only_queue):
        return True
    belongs = (name, *sample.parents)
    return (not rule.only_kind or f"kind:{rule.only_kind}" in belongs) and (
        not rule.only_queue or f"queue:{rule.only_queue}" in belongs
    )


def query_key(text: str) -> str:
    """Return the key of a log query: all rules with this text compare the same number of lines."""
    return f"{Per.QUERY}:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def find_faults(rule: AlertRule, *, floor: float, most: float | None) -> list[RuleFault]:
    """Return why a rule can never fire, never clears or always fires.

    ``floor`` is the value within which the measure has no sample, ``most`` its greatest possible value.
    """
    comparison, faults = Comparison(rule.comparison), []
    if not comparison.is_high_bad:
        if rule.threshold <= 0:
            faults.append(RuleFault("threshold", "never", translate("It can never fire: no value is below 0.")))
    elif most is not None and not comparison.holds(most, rule.threshold):
        text = translate("It can never fire: the measure is at most %(most)s.", {"most": f"{most:g}"})
        faults.append(RuleFault("threshold", "never", text))
    elif rule.threshold < floor:
        text = translate("It would always fire: healthy values reach %(floor)s.", {"floor": f"{floor:g}"})
        faults.append(RuleFault("threshold", "always", text))
    clear = rule.clear_threshold
    if clear not in (None, rule.threshold) and comparison.worse(clear, rule.threshold) == clear:
        text = translate("It must be on the healthy side of the threshold.")
        faults.append(RuleFault("clear_threshold", "clear", text))
    begins, ends = rule.active_from, rule.active_until
    if (begins is None) != (ends is None):
        faults.append(RuleFault("active_from", "hours", translate("Give both hours, or none.")))
    elif begins is not None and ends is not None and rule.for_seconds >= _length_of(begins, ends):
        text = translate("It can never fire: its active hours are shorter than that.")
        faults.append(RuleFault("for_seconds", "never", text))
    return faults


def _length_of(begins: time, ends: time) -> int:
    seconds = [at.hour * 3_600 + at.minute * 60 + at.second for at in (begins, ends)]
    return (seconds[1] - seconds[0]) % 86_400
