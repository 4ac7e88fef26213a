"""Parsing of searches for log lines, and the comparison of a line with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop

from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.filters.fields import Field, ValueUnreadableError, read_text, read_uuid
from scheduling.jobs.filters.syntax import read_terms
from scheduling.jobs.filters.terms import WORDS, Term
from scheduling.log_search.words import normalize, words_of
from tenants.exceptions import DomainError
from tenants.translation import LocalizableText

_NAMES = ("kind", "queue", "worker", "version", "template", "tenant", "request")
_IDS = ("job", "batch", "trace")


def _read_level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise ValueUnreadableError(LocalizableText("There is no such level of log lines."), tuple(LEVELS))
    return text.lower()


FIELDS: Mapping[str, Field] = {
    each.name: each
    for each in (
        *(Field(name, read_text, f"{name}:name") for name in _NAMES),
        *(Field(name, read_uuid, f"{name}:0199c0de-0000-7000-8000-000000000000") for name in _IDS),
        Field("level", _read_level, "level:warning"),
    )
}


class LogSearchInvalidError(DomainError):
    code, category, title = "log_search_invalid", "invalid", gettext_noop("The search of log lines is not valid")


class LogLineNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such log line")


class LogSearchSealedError(DomainError):
    code, category = "log_search_sealed", "invalid"
    title = gettext_noop(
        "Log lines are encrypted, and their index has hashes of whole words: phrases and beginnings of words cannot be "
        "searched. Search for the words alone."
    )


@dataclass(frozen=True, slots=True)
class TextTerm:
    """A word, a phrase or the beginning of a word that a line must contain, or must not."""

    text: str
    is_prefix: bool
    is_negated: bool

    @property
    def words(self) -> frozenset[str]:
        """Return the words that each line with this text has; empty for the beginning of a word."""
        return frozenset() if self.is_prefix else frozenset(words_of(self.text))

    def matches(self, text: str, words: set[str]) -> bool:
        """Return whether a line matches, by its normalized text and its words."""
        if self.is_prefix:
            return any(word.startswith(self.text) for word in words) != self.is_negated
        return (self.words <= words and self.text in text) != self.is_negated


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A parsed search; ``values`` are the names and ids by field, of which a line must have one each."""

    text: str = ""
    terms: tuple[TextTerm, ...] = ()
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    level: int = 0
    since: datetime | None = None
    until: datetime | None = None

    @property
    def words(self) -> frozenset[str]:
        """Return the words that each matching line has."""
        return frozenset[str]().union(*(term.words for term in self.terms if not term.is_negated))

    def matches_text(self, text: str) -> bool:
        """Return whether a line with this text matches the terms."""
        if not self.terms:
            return True
        normal = normalize(text)
        words = words_of(normal)
        return all(term.matches(normal, words) for term in self.terms)

    def between(self, since: datetime | None, until: datetime | None) -> LogQuery:
        """Return the search limited to lines since a time, and before another one."""
        return replace(self, since=since, until=until)


def parse_query(text: str, *, is_sealed: bool) -> LogQuery:
    """Return a search such as `timeout level:error kind:noop "connection reset" retr*`.

    Raise `FilterSyntaxError`, `LogSearchInvalidError`, or `LogSearchSealedError` for a phrase or the beginning of a
    word if log lines are encrypted.
    """
    terms = list(read_terms(text, FIELDS))
    values: dict[str, tuple[Any, ...]] = {}
    for term in terms:
        if term.field == WORDS:
            continue
        if term.is_negated:
            raise LogSearchInvalidError("A word can be excluded, as in -timeout, but not a field.")
        if term.field in values:
            words = "%(field)s is given twice. Alternatives are joined by a comma."
            raise LogSearchInvalidError(words, {"field": term.field})
        values[term.field] = term.values
    texts = tuple(_text_term(term) for term in terms if term.field == WORDS)
    if is_sealed and any(term.is_prefix or len(term.text.split()) > 1 for term in texts):
        raise LogSearchSealedError
    level = min(map(LEVELS.__getitem__, values.pop("level", ("debug",))))
    return LogQuery(" ".join(term.text for term in terms), texts, values, level)


def _text_term(term: Term) -> TextTerm:
    text = normalize(str(term.values[0]))
    is_prefix = len(text) > 1 and text.endswith("*")
    return TextTerm(text.rstrip("*") if is_prefix else text, is_prefix, term.is_negated)
