"""Job filters as values: parsed, written, described in words, applied to rows."""

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
    """Conditions that a job must all meet; without any, every job matches."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, **values: Given) -> JobFilter:
        """Return the filter for parameters; None and an empty list are no condition.

        Values of one field are alternatives, but a job must have each ``tag``. ``created_after`` and ``died_after`` are
        inclusive, ``created_before`` and ``died_before`` exclusive.
        """
        return cls(tuple(dict.fromkeys(term for name, given in values.items() for term in _terms_of(name, given))))

    def __and__(self, other: JobFilter) -> JobFilter:
        return JobFilter(tuple(dict.fromkeys((*self.terms, *other.terms))))

    @property
    def text(self) -> str:
        """Return the canonical text: ``parse(text)`` gives this filter again."""
        return " ".join(term.text for term in self.terms)

    @property
    def is_empty(self) -> bool:
        """Return whether it matches every job."""
        return not self.terms

    @property
    def is_frozen(self) -> bool:
        """Return whether it has the same meaning at any time: no term is relative to now."""
        return all(term.field != "age" for term in self.terms)

    @property
    def needs_scan(self) -> bool:
        """Return whether no index finds its jobs: rows are scanned, so a page must bound the scan."""
        return not self.is_keyed and self.bounds != self

    @property
    def is_keyed(self) -> bool:
        """Return whether an id or a key leads to its few jobs at once."""
        return is_keyed(self.terms)

    @property
    def states(self) -> frozenset[JobState]:
        """Return the states that the filter allows."""
        return states_of(self.terms)

    @property
    def is_found_by_table(self) -> bool:
        """Return whether a small table leads to the jobs: that of their states, or that of dead letters."""
        return has_own_table(self.states) or leads_to_letters(self.terms)

    @property
    def bounds(self) -> JobFilter:
        """Return the part that an index serves; the other conditions are checked row by row.

        Row security excludes operators that are not leakproof, such as ``@>`` and ``LIKE``, from every index.
        """
        return JobFilter(bounds_of(self.terms))

    @property
    def letter_bounds(self) -> JobFilter:
        """Return the part of the filter that an index of dead letters serves."""
        return JobFilter(letter_bounds_of(self.terms))

    def apply[Rows: QuerySet[Job]](self, queryset: Rows, *, now: datetime) -> Rows:
        """Return the jobs that meet the conditions; ages count back from ``now``."""
        return queryset.filter(condition_of(self.frozen(now).terms)) if self.terms else queryset

    def apply_to_letters(self, queryset: QuerySet[DeadLetter], *, now: datetime) -> QuerySet[DeadLetter]:
        """Return the dead letters that meet the conditions, with their jobs; ages count back from ``now``."""
        return queryset.filter(letter_condition_of(self.frozen(now).terms)) if self.terms else queryset

    def frozen(self, now: datetime) -> JobFilter:
        """Return the filter with ages as creation times, so that it keeps the meaning that it has at ``now``."""
        return self if self.is_frozen else JobFilter(tuple(dict.fromkeys(_freeze(term, now) for term in self.terms)))

    def in_words(self) -> str:
        """Return the filter as a sentence in the reader's language."""
        return sentence_of(clause_of(term) for term in self.terms)

    def values_of(self, field: str) -> tuple[Value, ...]:
        """Return the values allowed for a field, over all of its terms that are not negated."""
        chosen = [term for term in self.terms if term.field == field and not term.is_negated]
        return tuple(dict.fromkeys(value for term in chosen for value in term.values))

    def without(self, term: Term) -> JobFilter:
        """Return the filter without one condition."""
        return JobFilter(tuple(other for other in self.terms if other != term))

    def less(self, *fields: str) -> JobFilter:
        """Return the filter without the conditions on some fields."""
        return JobFilter(tuple(term for term in self.terms if term.field not in fields))

    def toggled(self, field: str, value: Value) -> JobFilter:
        """Return the filter with an alternative of a field added or removed; removing the last one frees the field."""
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
