"""The value class of job filters: it is parsed from text, written as text or in words, and applied to querysets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from scheduling.jobs.filters.fields import FIELDS
from scheduling.jobs.filters.rows import (
    bounds_of,
    condition_of,
    has_own_table,
    is_keyed,
    leads_to_letters,
    letter_bounds_of,
    letter_condition_of,
    states_of,
)
from scheduling.jobs.filters.syntax import read_terms
from scheduling.jobs.filters.terms import Term, Value
from scheduling.jobs.filters.wording import clause_of, sentence_of
from scheduling.jobs.lifecycle import JobState
from scheduling.models import DeadLetter, Job

type Given = Value | list[Any] | tuple[Any, ...] | None
# Older jobs were created before, so an age's relation is reversed for a creation time.
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
# The suffixes of parameters that bound a time; adjacent ranges neither overlap nor leave a gap.
_SIDES = {"after": ">=", "before": "<"}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """A filter of jobs: conditions that a job must all meet; a filter without conditions matches every job."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, **values: Given) -> JobFilter:
        """Build a filter from keyword arguments named like fields; None and an empty list add no condition.

        Values of one field are alternatives, but a job must have each ``tag``. ``created_after`` and ``died_after`` are
        inclusive, ``created_before`` and ``died_before`` exclusive.
        """
        return cls(tuple(dict.fromkeys(term for name, given in values.items() for term in _terms_of(name, given))))

    def __and__(self, other: JobFilter) -> JobFilter:
        return JobFilter(tuple(dict.fromkeys((*self.terms, *other.terms))))

    @property
    def text(self) -> str:
        """Return the canonical text of the filter: ``parse(text)`` gives an equal filter."""
        return " ".join(term.text for term in self.terms)

    @property
    def is_empty(self) -> bool:
        """Return whether the filter has no conditions and so matches every job."""
        return not self.terms

    @property
    def is_frozen(self) -> bool:
        """Return whether the filter means the same at any time: it has no ``age``, which is relative to now."""
        return all(term.field != "age" for term in self.terms)

    @property
    def needs_scan(self) -> bool:
        """Return whether no index finds the filter's jobs, so that rows must be checked one by one within a limit."""
        return not self.is_keyed and self.bounds != self

    @property
    def is_keyed(self) -> bool:
        """Return whether a condition on an id or a key finds the filter's few jobs through an index."""
        return is_keyed(self.terms)

    @property
    def states(self) -> frozenset[JobState]:
        """Return the job states that the filter allows."""
        return states_of(self.terms)

    @property
    def is_found_by_table(self) -> bool:
        """Return whether a small table lists the candidates: jobs in a rare state, or dead letters."""
        return has_own_table(self.states) or leads_to_letters(self.terms)

    @property
    def bounds(self) -> JobFilter:
        """Return a filter with only the conditions that an index serves; the others are checked row by row.

        Row security excludes operators that are not leakproof, such as ``@>`` and ``LIKE``, from every index.
        """
        return JobFilter(bounds_of(self.terms))

    @property
    def letter_bounds(self) -> JobFilter:
        """Return a filter with only the conditions that an index on dead letters serves."""
        return JobFilter(letter_bounds_of(self.terms))

    def apply[Rows: QuerySet[Job]](self, queryset: Rows, *, now: datetime) -> Rows:
        """Return the queryset restricted to the jobs that meet the conditions; ages count back from ``now``."""
        return queryset.filter(condition_of(self.frozen(now).terms)) if self.terms else queryset

    def apply_to_letters(self, queryset: QuerySet[DeadLetter], *, now: datetime) -> QuerySet[DeadLetter]:
        """Return the queryset of dead letters restricted to those that meet the conditions, together with their jobs.

        Ages count back from ``now``.
        """
        return queryset.filter(letter_condition_of(self.frozen(now).terms)) if self.terms else queryset

    def frozen(self, now: datetime) -> JobFilter:
        """Return a copy with ages replaced by creation times, so that it always means what it means at ``now``."""
        return self if self.is_frozen else JobFilter(tuple(dict.fromkeys(_freeze(term, now) for term in self.terms)))

    def in_words(self) -> str:
        """Return the filter as a sentence in the reader's language."""
        return sentence_of(clause_of(term) for term in self.terms)

    def values_of(self, field: str) -> tuple[Value, ...]:
        """Return the values allowed for a field, over all of its terms that are not negated."""
        chosen = [term for term in self.terms if term.field == field and not term.is_negated]
        return tuple(dict.fromkeys(value for term in chosen for value in term.values))

    def without(self, term: Term) -> JobFilter:
        """Return a copy of the filter without one condition."""
        return JobFilter(tuple(other for other in self.terms if other != term))

    def less(self, *fields: str) -> JobFilter:
        """Return a copy of the filter without the conditions on these fields."""
        return JobFilter(tuple(term for term in self.terms if term.field not in fields))

    def toggled(self, field: str, value: Value) -> JobFilter:
        """Return a copy of the filter in which one value of a field is added, or removed if the filter has it.

        Without any value left the field has no condition.
        """
        at = next((n for n, term in enumerate(self.terms) if _is_choice(term, field)), None)
        if at is None:
            return JobFilter((*self.terms, Term(field, (value,))))
        term = self.terms[at]
        left = tuple(other for other in term.values if other != value)
        values = left if value in term.values else (*term.values, value)
        changed = (replace(term, values=values),) if values else ()
        return JobFilter((*self.terms[:at], *changed, *self.terms[at + 1 :]))


def parse(text: str) -> JobFilter:
    """Return the filter that a text describes; raise `FilterSyntaxError` with the position of a fault."""
    return JobFilter(tuple(dict.fromkeys(read_terms(text))))


def _terms_of(name: str, given: Given) -> Iterator[Term]:
    field, _, side = name.rpartition("_")
    if side in _SIDES:
        if given is not None:
            assert isinstance(given, datetime)
            yield Term(field, (given.astimezone(UTC),), _SIDES[side])
        return
    listed = given if isinstance(given, list | tuple) else (given,)
    keeps_empty = FIELDS[name].may_be_empty
    values = tuple(dict.fromkeys(value for value in listed if value is not None and (value != "" or keeps_empty)))
    if name == "tag":
        yield from (Term(name, (value,)) for value in values)
    elif values:
        yield Term(name, values)


def _freeze(term: Term, now: datetime) -> Term:
    if term.field != "age":
        return term
    (age,) = term.values
    assert isinstance(age, timedelta)
    return Term("created", ((now - age).astimezone(UTC),), _TURNED[term.op], is_negated=term.is_negated)


def _is_choice(term: Term, field: str) -> bool:
    return term.field == field and not term.is_negated and not term.op
