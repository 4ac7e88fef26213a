"""Django conditions (Q) for the terms of a filter; each uses an index if there is one.

No index on Job contains its state, so that updates stay on their page; jobs in rare states are found through the small
tables that list them. What no index serves is checked row by row, and a list of such jobs bounds the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_
from typing import Any
from uuid import UUID

from django.db.models import Q, Subquery

from scheduling.jobs.filters.fields import NO
from scheduling.jobs.filters.terms import WORDS, Term, Value, meta_member
from scheduling.jobs.lifecycle import DEAD_STATES, IN_FLIGHT_STATES, JobState
from scheduling.models import DeadLetter, Job, JobDue, JobMeta, LiveExecution
from tenants.database.ids import uuid7_floor
from tenants.models import Tenant

# Web servers' clocks create ids, the database's clock ``created_at``. An id bound uses the index, and this slack keeps
# the bound from hiding a matching row.
CLOCK_SLACK = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DUE_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})
_DAY = timedelta(days=1)
_LOOKUPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
# The fields that select a range of the jobs' order, and those that select few rows at once.
_RANGED_FIELDS = frozenset({"created", "age", "tenant", "concurrency_key"})
_KEYED_FIELDS = frozenset({"id", "batch", "parent", "key", "log"})


# Fields of a job's dead letter; a job has at most one.
_LETTER_FIELDS = frozenset({"dead_letter", "died", "fingerprint", "requeued"})
# Columns that jobs and letters share: with a condition on the letter they use the letters' indexes.
_SHARED_FIELDS = frozenset({"kind", "tenant"})


def condition_of(terms: Iterable[Term]) -> Q:
    """Return a Q for querysets of Job that requires all of the terms.

    The terms must have creation times in place of ages, as in `JobFilter.frozen`.
    """
    chosen = list(terms)
    of_letters = _letter_terms(chosen)
    states = [term for term in chosen if term.field == "state"]
    conditions = [_condition(term) for term in chosen if term not in of_letters and term not in states]
    if states and of_letters:
        conditions.append(Q(state__in=sorted(states_of(states))))
    elif states:
        conditions.append(in_states(states_of(states)))
    if of_letters:
        # One subquery, so that its conditions meet in one index of the letters.
        narrowing = [term for term in chosen if term.field in _SHARED_FIELDS and not term.is_negated]
        conditions.append(_has_letter([*of_letters, *narrowing]))
    return reduce(and_, conditions, Q())


def add_condition(field: str, condition: Callable[[Term], Q]) -> None:
    """Register the condition of a field that a topic above jobs can answer."""
    _CONDITIONS[field] = condition


def letter_condition_of(terms: Iterable[Term]) -> Q:
    """Return a Q for querysets of DeadLetter that requires all of the terms.

    The terms must have creation times in place of ages, as in `JobFilter.frozen`.
    """
    chosen = list(terms)
    of_jobs = [term for term in chosen if term.field not in _LETTER_CONDITIONS]
    conditions = [_letter_condition(term) for term in chosen if term.field in _LETTER_CONDITIONS]
    if of_jobs:
        conditions.append(Q(job_id__in=Job.objects.filter(condition_of(of_jobs)).values("pk")))
    return reduce(and_, conditions, Q())


def leads_to_letters(terms: Iterable[Term]) -> bool:
    """Return whether one of the terms requires a dead letter, so that only jobs with a dead letter match."""
    return any(term.field in _LETTER_FIELDS and not term.is_negated for term in terms)


def states_of(terms: Iterable[Term]) -> frozenset[JobState]:
    """Return the states that all terms together allow."""
    left = frozenset(JobState)
    for term in terms:
        if term.field == "state":
            named = frozenset(JobState(str(value)) for value in term.values)
            left = left - named if term.is_negated else left & named
    return left


def bounds_of(terms: Collection[Term]) -> tuple[Term, ...]:
    """Return the terms that an index can apply while it returns the jobs in order."""
    states_are_found = has_own_table(states_of(terms))
    of_letters = _letter_terms(terms)
    narrowing = frozenset({"kind"}) if of_letters else frozenset()

    def is_served(term: Term) -> bool:
        if term.field == "state":
            return states_are_found
        return _is_range(term) or term in of_letters or (term.field in narrowing and not term.is_negated)

    return tuple(filter(is_served, terms))


def letter_bounds_of(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Return the terms that an index can apply while it returns the dead letters in order."""
    served = ("died", "fingerprint", "tenant")
    return tuple(term for term in terms if term.field in served and not term.is_negated and len(term.values) == 1)


def is_keyed(terms: Iterable[Term]) -> bool:
    """Return whether one of the terms, such as an id, finds few rows through an index."""
    return any(_is_key(term) for term in terms)


def has_own_table(states: Collection[JobState]) -> bool:
    """Return whether one small table lists all jobs in these states; also True for no states."""
    wanted = frozenset(states)
    return any(wanted <= known for known in (IN_FLIGHT_STATES, DEAD_STATES, _DUE_STATES))


def in_states(states: Collection[JobState]) -> Q:
    """Return a Q for querysets of Job that selects the jobs in these states.

    For rare states (in flight, dead, scheduled or backing off) it also requires an id from the small table of such
    jobs. Otherwise PostgreSQL would search a million completed jobs for a few dead ones.
    """
    wanted = frozenset(states)
    match = Q(state__in=sorted(wanted))
    if wanted <= IN_FLIGHT_STATES:
        return match & Q(id__in=LiveExecution.objects.values("job_id"))
    if wanted <= DEAD_STATES:
        return match & Q(id__in=DeadLetter.objects.values("job_id"))
    if wanted <= _DUE_STATES:
        return match & Q(id__in=JobDue.objects.values("job_id"))
    return match


def created_between(after: datetime | None, before: datetime | None) -> Q:
    """Return a Q for rows created at or after ``after`` and before ``before``.

    It also bounds the rows' ids, so that the index of the ids is used.
    """
    match = Q()
    if after is not None:
        match &= Q(created_at__gte=after) & _ids_from(after)
    if before is not None:
        match &= Q(created_at__lt=before) & _ids_until(before)
    return match


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a word contains, or None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_range(term: Term) -> bool:
    is_ranged = term.field in _RANGED_FIELDS or meta_member(term.field) is not None
    return is_ranged and not term.is_negated and len(term.values) == 1


def _is_key(term: Term) -> bool:
    if term.is_negated:
        return False
    return term.field in _KEYED_FIELDS or (term.field == WORDS and as_uuid(str(term.values[0])) is not None)


def _letter_terms(terms: Iterable[Term]) -> list[Term]:
    """Return the terms of the letter that one subquery answers; empty if all of them are negated."""
    chosen = list(terms)
    return [term for term in chosen if term.field in _LETTER_FIELDS] if leads_to_letters(chosen) else []


def _has_letter(terms: Iterable[Term]) -> Q:
    letters = DeadLetter.objects.filter(*map(_letter_condition, terms))
    return Q(id__in=letters.values("job_id"))


def _condition(term: Term) -> Q:
    if term.field in _LETTER_FIELDS:
        match = _has_letter([replace(term, is_negated=False)])
    else:
        match = _meta(term) if meta_member(term.field) is not None else _CONDITIONS[term.field](term)
    return ~match if term.is_negated else match


def _letter_condition(term: Term) -> Q:
    match = _LETTER_CONDITIONS[term.field](term)
    return ~match if term.is_negated else match


def _among(column: str) -> Callable[[Term], Q]:
    return lambda term: Q(**{f"{column}__in": term.values} if len(term.values) > 1 else {column: term.values[0]})


def _compared(column: str) -> Callable[[Term], Q]:
    among = _among(column)
    return lambda term: Q(**{f"{column}__{_LOOKUPS[term.op]}": term.values[0]}) if term.op else among(term)


def _created(term: Term) -> Q:
    moments: list[Any] = list(term.values)
    if not term.op:
        return reduce(or_, (created_between(day, day + _DAY) for day in moments))
    (moment,) = moments
    bound = _ids_from(moment) if term.op.startswith(">") else _ids_until(moment)
    return Q(**{f"created_at__{_LOOKUPS[term.op]}": moment}) & bound


def _ids_from(moment: datetime) -> Q:
    return Q(id__gte=uuid7_floor(moment - CLOCK_SLACK)) if moment > _EPOCH + CLOCK_SLACK else Q()


def _ids_until(moment: datetime) -> Q:
    bounds = _EPOCH < moment < datetime(9999, 1, 1, tzinfo=UTC)
    return Q(id__lt=uuid7_floor(moment + CLOCK_SLACK)) if bounds else Q()


def _tenant(term: Term) -> Q:
    tenants = Tenant.objects.filter(slug__in=term.values).values("pk")
    # A subquery for one tenant uses an index; a join would sort all of its rows.
    return Q(tenant_id=Subquery(tenants[:1])) if len(term.values) == 1 else Q(tenant_id__in=tenants)


def _tag(term: Term) -> Q:
    return Q(tags__overlap=list(term.values))


def _meta(term: Term) -> Q:
    """Return the condition for a member's value, or of `meta:name` for the presence of a member."""
    member = meta_member(term.field)
    match = Q(name__in=term.values) if member is None else Q(name=member, value__in=term.values)
    return Q(id__in=JobMeta.objects.filter(match).values("job_id"))


def _error(term: Term) -> Q:
    return reduce(or_, (_has_error(value) for value in term.values))


def _has_error(value: Value) -> Q:
    return Q(error_fingerprint=value) | Q(error_type__icontains=value)


def _requeued(term: Term) -> Q:
    return reduce(or_, (Q(requeued_at__isnull=value == NO) for value in term.values))


def _word(term: Term) -> Q:
    """Return the condition for a free word: an id, or part of a name.

    Payloads, results and messages are not searched.
    """
    word = str(term.values[0])
    wanted = as_uuid(word)
    if wanted is not None:
        return Q(id=wanted) | Q(batch_id=wanted)
    named = Q(kind__icontains=word) | Q(error_type__icontains=word) | Q(tags__contains=[word])
    return named | Q(idempotency_key=word) | Q(fair_key=word)


_CONDITIONS: dict[str, Callable[[Term], Q]] = {
    WORDS: _word,
    "queue": _among("queue__name"),
    "kind": _among("kind"),
    "tenant": _tenant,
    "tag": _tag,
    "meta": _meta,
    "error": _error,
    "fair_key": _among("fair_key"),
    "concurrency_key": _among("concurrency_key"),
    "unique_key": _among("unique_key"),
    "key": _among("idempotency_key"),
    "id": _among("id"),
    "batch": _among("batch_id"),
    "parent": _among("parent_id"),
    "priority": _compared("priority"),
    "failed_attempts": _compared("attempt"),
    "created": _created,
}
_LETTER_CONDITIONS: dict[str, Callable[[Term], Q]] = {
    "kind": _among("kind"),
    "tenant": _tenant,
    "error": _error,
    "dead_letter": _among("reason"),
    "fingerprint": _among("error_fingerprint"),
    "died": _created,
    "requeued": _requeued,
}
