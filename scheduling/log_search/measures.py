"""The measure of alert rules that counts the log lines of a search."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import PRIVATE, Per, Sample, query_key
from scheduling.log_search.query import parse_query
from scheduling.log_search.search import FoundLines, search_lines
from scheduling.log_search.segments import time_of
from scheduling.models import AlertRule, JobLog, MeasureMinute
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.encryption.fields import is_sealing
from tenants.exceptions import DomainError
from tenants.translation import translate

logger = logging.getLogger(__name__)

NAME, MINUTES, MINUTE = "log_matches", 5, timedelta(minutes=1)
# More matching lines, and more queries, are not counted.
MOST_LINES, MOST_QUERIES = 1_000, 200
# A slow query counts what it found. Those that a reading did not reach keep their number, and the next one begins with
# them.
QUERY_SECONDS, READ_SECONDS = 0.5, 2.0
# The newest lines that a backtest replays.
REPLAYED_LINES, REPLAY_SECONDS = 10_000, 3.0


class QueryReader:
    """Counts of the matching lines of the last five minutes, by tenant and query of the enabled rules."""

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID | None, str], tuple[float, int]] = {}

    def read(self, now: datetime) -> Iterator[Sample]:
        """Yield a sample of each query with matching lines."""
        with all_tenants():
            rules = AlertRule.objects.filter(measure=NAME, is_enabled=True).order_by("tenant_id", "log_query")
            rows = rules.values_list("tenant_id", "log_query").distinct()[:MOST_QUERIES]
            wanted: list[tuple[UUID | None, str]] = list(rows)
        known = {each: self._counts.get(each, (0.0, 0)) for each in wanted}
        self._counts = known
        began = time.monotonic()
        for tenant_id, text in sorted(wanted, key=lambda each: known[each][0]):
            if time.monotonic() - began < READ_SECONDS:
                known[tenant_id, text] = time.monotonic(), self._count(tenant_id, text, now)
            if count := known[tenant_id, text][1]:
                key = query_key(text) + (f"{PRIVATE}{tenant_id}" if tenant_id else "")
                yield Sample(key, count, text[:100], tenant_id, facts={"message": text})

    def _count(self, tenant_id: UUID | None, text: str, now: datetime) -> int:
        try:
            with all_tenants() if tenant_id is None else tenant_context(tenant_id):
                return len(_find(text, now - MINUTES * MINUTE, MOST_LINES, QUERY_SECONDS).lines)
        except DomainError as error:
            # It was valid when the rule was saved, such as a phrase before values were encrypted.
            logger.warning("log_matches.refused", extra={"cause": str(error)})
            return 0


def find_query_faults(rule: AlertRule) -> list[tuple[str, str]]:
    """Return why a rule's log query cannot be counted, by field; a rule of another measure must have none."""
    if rule.measure != NAME:
        return [("log_query", translate("Only the measure of matching log lines has a query."))] * bool(rule.log_query)
    if not rule.log_query:
        return [("log_query", translate("Give the search whose lines are counted."))]
    if rule.only_kind or rule.only_queue or rule.only_tenant:
        return [("log_query", translate("Name the kind, queue or tenant in the search."))]
    try:
        with _scope_of(rule):
            _find(rule.log_query, read_clock(), 1, QUERY_SECONDS)
    except DomainError as error:
        return [("log_query", str(error.detail))]
    return []


def replay_lines(rule: AlertRule, earliest: datetime) -> tuple[datetime | None, list[MeasureMinute]]:
    """Return the numbers of matching lines by minute since a time, and since when the log was searched."""
    with _scope_of(rule):
        oldest = JobLog.objects.order_by("pk").values_list("pk", flat=True).first()
        if oldest is None:
            return None, []
        found = _find(rule.log_query, earliest, REPLAYED_LINES, REPLAY_SECONDS)
    since = max(earliest, time_of(oldest if found.before is None else found.before))
    counts = Counter[datetime]()
    for line in found.lines:
        minute = line.at.replace(second=0, microsecond=0)
        counts.update(minute + later * MINUTE for later in range(MINUTES))
    facts = {"tenant_id": rule.tenant_id, "object_key": query_key(rule.log_query), "label": rule.log_query[:100]}
    return since, [MeasureMinute(minute=minute, worst=float(counts[minute]), **facts) for minute in sorted(counts)]


def _scope_of(rule: AlertRule) -> AbstractContextManager[None]:
    """Return the scope of the rule's tenant; the platform's rules are changed and replayed in that of all tenants."""
    return tenant_context(rule.tenant_id) if rule.tenant_id else nullcontext()


def _find(text: str, since: datetime, limit: int, seconds: float) -> FoundLines:
    query = parse_query(text, is_sealed=is_sealing()).between(since, None)
    return search_lines(query, limit=limit, seconds=seconds)


MEASURES = (
    Measure(
        NAME, _("Matching log lines of five minutes"), "", (Per.QUERY,), QueryReader().read, seconds=15.0,
        tenants_per=(Per.QUERY,), is_unscoped=True, history=replay_lines,
    ),
)  # fmt: skip
