"""Evaluation of filters on one job in memory, at an event of the job.

Only fields that do not change after the event are supported. States, ages and creation times are not: the event itself
gives the state, and the others depend on the time of reading. The supported fields mean the same as on rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.jobs.filters.job_filter import JobFilter, parse
from scheduling.jobs.filters.terms import Term
from tenants.exceptions import DomainError


class FilterNotMatchableError(DomainError):
    """The error for a filter with a field that `matches_filter` does not support."""

    code, category, title = "filter_not_judged", "invalid", gettext_noop("This filter cannot be evaluated on one job")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """The values of a job that `matches_filter` compares."""

    kind: str
    queue: str
    tags: Sequence[str] = ()
    fair_key: str = ""
    key: str | None = None
    batch: UUID | None = None
    parent: UUID | None = None
    priority: int = 0
    error_type: str = ""
    error_fingerprint: str = ""


def parse_matchable(text: str) -> JobFilter:
    """Parse a filter for `matches_filter`; raise `FilterNotMatchableError` if it has an unsupported field."""
    job_filter = parse(text)
    others = sorted({term.field or "free words" for term in job_filter.terms if term.field not in _JUDGES})
    if others:
        refusal = FilterNotMatchableError(
            "These fields cannot be used here: %(fields)s. Supported: %(known)s.",
            {"fields": ", ".join(others), "known": ", ".join(_JUDGES)},
        )
        refusal.errors = [{"code": refusal.code, "detail": refusal.detail}]
        raise refusal
    return job_filter


def matches_filter(traits: JobFacts, job_filter: JobFilter) -> bool:
    """Return whether the job meets all conditions of a filter from `parse_matchable`."""
    return all(_JUDGES[term.field](traits, term) is not term.is_negated for term in job_filter.terms)


def _among(name: str) -> Callable[[JobFacts, Term], bool]:
    return lambda traits, term: getattr(traits, name) in term.values


def _tag(traits: JobFacts, term: Term) -> bool:
    return any(value in traits.tags for value in term.values)


def _error(traits: JobFacts, term: Term) -> bool:
    named = traits.error_type.upper()
    return any(value == traits.error_fingerprint or str(value).upper() in named for value in term.values)


def _priority(traits: JobFacts, term: Term) -> bool:
    wanted = term.values[0]
    assert isinstance(wanted, int)
    match term.op:
        case ">":
            return traits.priority > wanted
        case ">=":
            return traits.priority >= wanted
        case "<":
            return traits.priority < wanted
        case "<=":
            return traits.priority <= wanted
    return traits.priority in term.values


_JUDGES: dict[str, Callable[[JobFacts, Term], bool]] = {
    "kind": _among("kind"),
    "queue": _among("queue"),
    "tag": _tag,
    "error": _error,
    "fair_key": _among("fair_key"),
    "key": _among("key"),
    "batch": _among("batch"),
    "parent": _among("parent"),
    "priority": _priority,
}
