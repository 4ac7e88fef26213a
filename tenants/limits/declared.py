"""Declarations of limits, and the form in which a reached limit is reported.

An app lists its limits in `limits` of its AppConfig. For limits whose usage is not a counter of `TenantUsage`, it names
in `measures_usage` a function `(tenant_id, limits) -> {key: Measured}`. The value that applies to a tenant comes from
`tenants.limits.usage`: the tenant's override, else the plan's value, else the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final

from tenants.exceptions import LimitUnknownError

# The percentages of a limit at which its tenant is warned.
WARNING_PERCENTS: Final = (80, 100)
# The period of counters of the current state.
NO_PERIOD: Final = date(1970, 1, 1)
# In millionths it still fits into a bigint.
MAX_LIMIT_VALUE: Final = 2**43


class LimitPeriod(StrEnum):
    """The period over which a limit is counted."""

    MONTH = "month"  # calendar months in UTC
    DAY = "day"  # days in UTC
    MINUTE = "minute"
    NOW = "now"  # the current amount
    EACH = "each"  # each job, each request


@dataclass(frozen=True, slots=True)
class Limit:
    """The declaration of one limited quantity.

    `plan_column` and `tenant_column` name the columns that hold its values, if any; otherwise `PlanLimit` and
    `TenantLimit` rows hold them. `counts_per_unit` is how much the counter rises for one unit of the limit. If
    `default` is None, there is no limit unless the plan or an override sets one. `is_of_plan_alone`: it has no
    overrides.
    """

    key: str
    title: str
    unit: str
    counts: str
    span: LimitPeriod
    enforced_at: str
    default: int | None = None
    plan_column: str = ""
    tenant_column: str = ""
    counts_per_unit: int = 1
    is_counter: bool = False
    warns: bool = False
    is_of_plan_alone: bool = False


class LimitState(StrEnum):
    """How close a tenant's usage is to a limit."""

    OK = "ok"
    NEAR = "near"
    EXCEEDED = "exceeded"


class Source(StrEnum):
    """Where the value of a limit comes from."""

    OVERRIDE = "override"
    PLAN = "plan"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The limit that caused a refusal. `resets_at` is None if waiting alone does not help."""

    key: str
    unit: str
    allowed: int
    used: int
    resets_at: datetime | None = None

    def describe(self) -> dict[str, Any]:
        """Return the dict that a problem response has as its `limit`."""
        return {
            "key": self.key,
            "unit": self.unit,
            "allowed": self.allowed,
            "used": self.used,
            "left": max(0, self.allowed - self.used),
            "resets_at": None if self.resets_at is None else format_moment(self.resets_at),
        }


def state_of(used: int | float | None, allowed: int | None) -> LimitState:
    """Return the state of a usage: `NEAR` from 80 % of the limit, `EXCEEDED` when nothing is left, else `OK`."""
    if used is None or allowed is None or not used:
        return LimitState.OK
    if used >= allowed:
        return LimitState.EXCEEDED
    return LimitState.NEAR if used * 100 >= WARNING_PERCENTS[0] * allowed else LimitState.OK


def month_of(moment: datetime) -> date:
    """Return the first day of the calendar month of `moment` in UTC; counters use it as the name of the month."""
    return moment.astimezone(UTC).date().replace(day=1)


def month_end(moment: datetime) -> datetime:
    """Return the time in UTC at which the month of `moment` ends and the next one begins."""
    first = month_of(moment)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def format_moment(moment: datetime) -> str:
    """Return the time as an RFC 3339 string in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@cache
def limits() -> Mapping[str, Limit]:
    """Return all limits that the installed apps declare, by key, in the order of the apps."""
    from django.apps import apps

    declared = [limit for config in apps.get_app_configs() for limit in getattr(config, "limits", ())]
    found = {limit.key: limit for limit in declared}
    assert len(found) == len(declared), "Two apps declare the same limit."
    return found


def get_limit(key: str) -> Limit:
    """Return the declaration of the limit with that key; raise `LimitUnknownError` if there is none."""
    limit = limits().get(key)
    if limit is None:
        raise LimitUnknownError(
            "There is no limit %(key)r; the limits are %(known)s.", {"key": key, "known": ", ".join(sorted(limits()))}
        )
    return limit


# Costs of requests, in units of the rate of the caller. A view of the API declares
# `request_costs = {"search": SEARCH, …}` beside its `permissions`, by action or method; a page of the console is marked
# with `@costs(…)`. What is not declared has the cost of its action or method.
NOTHING: Final = 0
READ: Final = 1
LIST: Final = 2
WRITE: Final = 2
SEARCH: Final = 5
# Exports, what-ifs and checks.
HEAVY: Final = 20

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHANGELIST: Final = "_changelist"


def costs[View: Callable[..., Any]](units: int) -> Callable[[View], View]:
    """Return a decorator that sets the request cost of a console page."""

    def declare(view: View) -> View:
        """Set the cost of the page."""
        view.request_cost = units  # type: ignore[attr-defined]
        return view

    return declare


@lru_cache(maxsize=1_000)
def cost_of(view: Callable[..., Any], method: str, url_name: str = "") -> int:
    """Return what a request to the view costs, in units of the caller's request rate.

    It is the cost that the view declares, else 2 for a list or a change, else 1.
    """
    method = "GET" if method == "HEAD" else method
    declared_cost = getattr(view, "request_cost", None)
    if declared_cost is not None:
        return int(declared_cost)
    declared: Mapping[str, int] = getattr(getattr(view, "cls", None), "request_costs", {})
    action: str = (getattr(view, "actions", None) or {}).get(method.lower(), "")
    if action in declared or method in declared:
        return declared.get(action, declared.get(method, READ))
    if method not in _READING:
        return WRITE
    return LIST if action == "list" or url_name.endswith(_CHANGELIST) else READ
