"""The field `log` of the filter of jobs: jobs whose log contains a text."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext_noop

from scheduling.jobs.filters.rows import add_condition
from scheduling.jobs.filters.terms import Term, quote
from scheduling.log_search.query import parse_query
from scheduling.log_search.search import search_lines
from tenants.cache.bounded_cache import BoundedCache
from tenants.context import current_actor, current_tenant_id
from tenants.encryption.fields import is_sealing
from tenants.exceptions import DomainError

# A filter either finds all jobs or is refused: a bulk operation must not leave some out.
MAX_LINES, MAX_SECONDS = 5_000, 3.0
# A page applies a filter several times, to its rows and its counts.
_found: BoundedCache[tuple[UUID | None, str], frozenset[UUID]] = BoundedCache(most=100, seconds=10.0)


class LogFilterTooBroadError(DomainError):
    code, category = "log_filter_too_broad", "invalid"
    title = gettext_noop(
        "Too many log lines contain this text to find all jobs with it. Search for a longer text or a rarer word."
    )


class LogsNotReadableError(DomainError):
    code, category = "log_filter_forbidden", "forbidden"
    title = gettext_noop("Jobs can be chosen by their logs only with the permission logs.view")


def find_jobs_by_log() -> None:
    """Add the field `log` to the filter of jobs."""
    add_condition("log", _condition)


def _condition(term: Term) -> Q:
    if not current_actor().may_read_logs:
        raise LogsNotReadableError
    return Q(pk__in=frozenset[UUID]().union(*(_jobs_with(str(value)) for value in term.values)))


def _jobs_with(text: str) -> frozenset[UUID]:
    key = current_tenant_id(), text
    found = _found.get(key)
    if found is None:
        query = parse_query(quote(text), is_sealed=is_sealing())
        lines = search_lines(query, limit=MAX_LINES, seconds=MAX_SECONDS)
        if lines.before is not None:
            raise LogFilterTooBroadError
        found = frozenset(line.job_id for line in lines.lines)
        _found.put(key, found)
    return found
