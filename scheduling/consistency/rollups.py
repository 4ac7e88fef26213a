"""Checks of the rollups of the last hours against a recount of the history, tenant by tenant and then in sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from django.utils import timezone
from django.utils.translation import gettext_noop
from psycopg.rows import class_row, scalar_row

from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, FaultKind, StateCheck
from scheduling.consistency.walk import check_page
from scheduling.statistics.histogram import BOUNDS
from scheduling.statistics.rollups import outcomes
from scheduling.statistics.series import compare_objectives
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.tenancy.queries import TenantPage
from tenants.translation import LocalizableText

ROLLUPS = FaultKind("rollups", gettext_noop("A rollup of the last whole hours differs from history."))
HOURS, MAX_HOURS = 2, 48
# An older walk begins again, because rollups by the minute are kept for days only.
OLDEST_WALK = timedelta(days=1)
# Longest time between the creation of an execution's id and its end that a recount covers.
LONGEST_FLIGHT = timedelta(days=2)
# Executions that ended in an hour are committed this long after it at the latest. One that is delayed by the database
# or by a late sweep, and commits between its page and the end of the walk, is a false alarm, which the next walk
# clears.
LONGEST_COMMIT_SECONDS = 300
_SQL = load_sql(__file__)
_OF_TENANTS = [_SQL[f"compare_{name}"] for name in ("kinds", "waits", "excused", "tenants", "busy")]


@dataclass(frozen=True, slots=True)
class RollupDifference:
    """A row of a rollup whose numbers differ from the recount."""

    rollup: str
    row: str
    rolled: str
    recounted: str

    @property
    def sentence(self) -> LocalizableText:
        values = {
            "rollup": self.rollup,
            "row": self.row,
            "rolled": self.rolled or LocalizableText("nothing"),
            "recounted": self.recounted or LocalizableText("nothing"),
        }
        return LocalizableText("%(rollup)s of %(row)s: %(rolled)s, recounted %(recounted)s.", values)

    @property
    def fault(self) -> ConsistencyFault:
        return ConsistencyFault(ROLLUPS.code, None, f"{self.rollup} of {self.row}", self.sentence)


@dataclass(frozen=True, slots=True)
class RollupCheck:
    """Check of the rollups between ``since`` and ``until``."""

    since: datetime
    until: datetime

    @classmethod
    def from_cursor(cls, cursor: Mapping[str, Any]) -> Self:
        """Return the check that ``as_cursor`` stored."""
        return cls(*(datetime.fromisoformat(cursor[name]) for name in ("since", "until")))

    def as_cursor(self) -> dict[str, Any]:
        """Return the check as JSON data, to continue it later."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}

    def check_page(self, page: TenantPage) -> list[RollupDifference]:
        """Compare the minutes of a page of tenants."""
        parameters = {**self._parameters(), **page.parameters()}
        with all_tenants():
            return [row for statement in _OF_TENANTS for row in _compare(statement, parameters)]

    def finish(self) -> list[RollupDifference]:
        """Compare, after the last page, the queues with their tenants, and objectives with minutes."""
        with all_tenants():
            differences = _compare(_SQL["compare_queues"], self._parameters())
            for number in range((self.until - self.since) // timedelta(hours=1)):
                hour = self.since + timedelta(hours=number)
                differences += [
                    RollupDifference("objective-hour", f"{row.id} {hour}", row.rolled, row.recounted)
                    for row in compare_objectives(hour)
                ]
        return differences

    def _parameters(self) -> dict[str, Any]:
        floor = uuid7_floor(self.since - LONGEST_FLIGHT)
        return {"since": self.since, "before": self.until, "floor": floor, "bounds": list(BOUNDS), **outcomes()}


def _compare(statement: str, parameters: Mapping[str, Any]) -> list[RollupDifference]:
    return fetch_all(statement, parameters, class_row(RollupDifference), is_planned=True)


def begin_recent_check(*, hours: int = HOURS) -> RollupCheck:
    """Return a new check of the last whole hours."""
    until = fetch_one(_SQL["read_last_hour"], {"commit_seconds": LONGEST_COMMIT_SECONDS}, scalar_row, is_planned=True)
    return RollupCheck(until - timedelta(hours=hours), until)


def check_rollups(piece: CheckRange) -> CheckPage:
    """Compare the rollups of the last whole hours for one page of tenants; on the last page compare the sums too."""
    check = RollupCheck.from_cursor(piece.after["check"]) if piece.after else None
    if check is None or check.until < timezone.now() - OLDEST_WALK:
        check, piece = begin_recent_check(hours=piece.options.get("hours", HOURS)), replace(piece, after={})
    page = piece.after.get("page", {})
    begun = replace(piece, after={"check": check.as_cursor(), "page": page})
    look = check_page(replace(piece, after=page), lambda tenants: [row.fault for row in check.check_page(tenants)])
    if look.next is not None:
        return CheckPage(begun, look.faults, {"check": check.as_cursor(), "page": look.next}, look.counts)
    return CheckPage(begun, [*look.faults, *(row.fault for row in check.finish())], counts=look.counts)


CHECKS = (
    StateCheck(
        "rollups",
        (ROLLUPS,),
        check_rollups,
        interval=timedelta(hours=1),
        title=gettext_noop("Rollup recount"),
        text=gettext_noop("Recounts the last whole hours of history and compares the rollups with it."),
        options=("hours",),
        knows_tenants=False,
    ),
)
