"""Descriptions of filters in the reader's language: a clause for each condition."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from scheduling.jobs.filters.terms import WORDS, Term, meta_member, write_value

# By field: the clause, and its negation.
_CLAUSES = {
    WORDS: (gettext_noop("that match the word “%(values)s”"), gettext_noop("that do not match the word “%(values)s”")),
    "state": (gettext_noop("whose state is %(values)s"), gettext_noop("whose state is not %(values)s")),
    "queue": (gettext_noop("in queue %(values)s"), gettext_noop("not in queue %(values)s")),
    "kind": (gettext_noop("of kind %(values)s"), gettext_noop("not of kind %(values)s")),
    "tenant": (gettext_noop("of tenant %(values)s"), gettext_noop("not of tenant %(values)s")),
    "tag": (gettext_noop("tagged %(values)s"), gettext_noop("not tagged %(values)s")),
    "meta": (gettext_noop("with meta %(values)s"), gettext_noop("without meta %(values)s")),
    "error": (
        gettext_noop("whose error type contains %(values)s"),
        gettext_noop("whose error type does not contain %(values)s"),
    ),
    "fair_key": (gettext_noop("with fair key %(values)s"), gettext_noop("without fair key %(values)s")),
    "concurrency_key": (
        gettext_noop("with concurrency key %(values)s"),
        gettext_noop("without concurrency key %(values)s"),
    ),
    "unique_key": (gettext_noop("with unique key %(values)s"), gettext_noop("without unique key %(values)s")),
    "key": (gettext_noop("with idempotency key %(values)s"), gettext_noop("without idempotency key %(values)s")),
    "log": (gettext_noop("whose log contains %(values)s"), gettext_noop("whose log does not contain %(values)s")),
    "id": (gettext_noop("with id %(values)s"), gettext_noop("without id %(values)s")),
    "batch": (gettext_noop("of batch %(values)s"), gettext_noop("not of batch %(values)s")),
    "parent": (gettext_noop("submitted by job %(values)s"), gettext_noop("not submitted by job %(values)s")),
    "priority": (gettext_noop("whose priority is %(values)s"), gettext_noop("whose priority is not %(values)s")),
    "failed_attempts": (
        gettext_noop("whose failed attempts are %(values)s"),
        gettext_noop("whose failed attempts are not %(values)s"),
    ),
    "age": (gettext_noop("whose age is %(values)s"), gettext_noop("whose age is not %(values)s")),
    "created": (gettext_noop("created %(values)s (UTC)"), gettext_noop("not created %(values)s (UTC)")),
    "dead_letter": (
        gettext_noop("with a dead letter of reason %(values)s"),
        gettext_noop("without a dead letter of reason %(values)s"),
    ),
    "fingerprint": (
        gettext_noop("with a dead letter of error fingerprint %(values)s"),
        gettext_noop("without a dead letter of error fingerprint %(values)s"),
    ),
    "died": (
        gettext_noop("with a dead letter created %(values)s (UTC)"),
        gettext_noop("without a dead letter created %(values)s (UTC)"),
    ),
    "requeued": (
        gettext_noop("with a dead letter whose requeued flag is %(values)s"),
        gettext_noop("without a dead letter whose requeued flag is %(values)s"),
    ),
}
_COMPARED = {
    ">": gettext_noop("more than %(value)s"),
    ">=": gettext_noop("at least %(value)s"),
    "<": gettext_noop("less than %(value)s"),
    "<=": gettext_noop("at most %(value)s"),
}
_IN_TIME = {
    "": gettext_noop("on %(value)s"),
    ">": gettext_noop("after %(value)s"),
    ">=": gettext_noop("at %(value)s or later"),
    "<": gettext_noop("before %(value)s"),
    "<=": gettext_noop("at %(value)s or earlier"),
}


def clause_of(term: Term) -> str:
    """Return one condition as a clause in the reader's language."""
    member = meta_member(term.field)
    asked, ruled_out = _CLAUSES[term.field if member is None else "meta"]
    written = [_value_in_words(term, index) for index in range(len(term.values))]
    values = pgettext("between alternatives", " or ").join(written)
    values = values if member is None else f"{member} = {values}"
    return _(ruled_out if term.is_negated else asked) % {"values": values}


def sentence_of(clauses: Iterable[str]) -> str:
    """Return the clauses of all conditions as one sentence."""
    joined = pgettext("between conditions", ", ").join(clauses)
    return _("Jobs %(conditions)s.") % {"conditions": joined} if joined else _("All jobs.")


def _value_in_words(term: Term, index: int) -> str:
    value = term.values[index]
    written = str(value) if term.field == WORDS else write_value(value)
    if term.field in ("created", "died"):
        return _(_IN_TIME[term.op]) % {"value": written}
    return _(_COMPARED[term.op]) % {"value": written} if term.op else written
