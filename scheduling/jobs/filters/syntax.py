"""Parser of the filter grammar: fields with values, free words, and errors with their position."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches

from scheduling.jobs.filters.fields import FIELDS, WORDS_FIELD, Field, ValueUnreadableError, find_field
from scheduling.jobs.filters.terms import JOINING_WORDS, Term, Value
from tenants.exceptions import DomainError
from tenants.translation import LocalizableText, gettext_noop

MAX_TERMS = 30
MAX_VALUES = 50
MAX_VALUE_CHARACTERS = 200
# More than the longest canonical text that the other bounds allow, so that any parsed filter can be parsed again.
MAX_CHARACTERS = 1_000_000
_SHOWN_CHARACTERS = 100
_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"([A-Za-z_]+|(?i:meta)\.[A-Za-z0-9_.-]{1,64}):")
_OP = re.compile(r">=|<=|>|<|=|")
_BARE_VALUE = re.compile(r'[^\s",]*')
_BARE_WORD = re.compile(r'[^\s"]*')


class FilterSyntaxError(DomainError):
    """The error for a filter that cannot be parsed.

    ``position`` is the character of the fault, counted from 0; ``known`` are the words that are valid there.
    """

    code, category, title = "filter_syntax", "malformed", gettext_noop("The filter cannot be read")

    def __init__(self, message: LocalizableText, *, position: int, word: str = "", known: Sequence[str] = ()) -> None:
        self.position = position
        self.word = word[:_SHOWN_CHARACTERS]
        self.known = tuple(known)
        self.suggestion = next(iter(get_close_matches(self.word.lower(), self.known, n=1)), None)
        values = {"position": position + 1, "word": self.word, "message": message}
        fault = (
            LocalizableText("At character %(position)s, “%(word)s”: %(message)s", values)
            if self.word
            else LocalizableText("At character %(position)s: %(message)s", values)
        )
        super().__init__("%(fault)s%(hint)s", {"fault": fault, "hint": self._hint()})
        self.errors = [
            {
                "code": self.code,
                "detail": self.detail,
                "position": position,
                "word": self.word,
                "known": list(self.known),
                "suggestion": self.suggestion,
            }
        ]

    def _hint(self) -> LocalizableText | str:
        if self.suggestion:
            return LocalizableText(" Did you mean “%(word)s”?", {"word": self.suggestion})
        return LocalizableText(" Valid words: %(words)s.", {"words": list(self.known)}) if self.known else ""


def read_terms(text: str, fields: Mapping[str, Field] = FIELDS) -> Iterator[Term]:
    """Yield the terms of a filter with these fields; raise `FilterSyntaxError` at the first fault."""
    if len(text) > MAX_CHARACTERS:
        raise FilterSyntaxError(
            LocalizableText("A filter has at most %(limit)s characters.", {"limit": f"{MAX_CHARACTERS:,}"}),
            position=MAX_CHARACTERS,
        )
    reader = _Reader(text, fields)
    count = 0
    while not reader.is_at_end():
        count += 1
        if count > MAX_TERMS:
            raise FilterSyntaxError(
                LocalizableText("A filter has at most %(limit)s conditions.", {"limit": MAX_TERMS}),
                position=reader.position,
            )
        yield reader.term()


class _Reader:
    """A parser of one text; it holds the current position."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self.text = text
        self.fields = fields
        self.position = 0

    def is_at_end(self) -> bool:
        """Skip whitespace; return whether the text is used up."""
        self._take(_SPACE)
        return self.position >= len(self.text)

    def term(self) -> Term:
        """Parse the condition at the current position."""
        start = self.position
        is_negated = self.text.startswith("-", start)
        self.position += is_negated
        if named := _FIELD.match(self.text, self.position):
            return self._field_term(named, is_negated=is_negated)
        value, is_quoted = self._value(_BARE_WORD, WORDS_FIELD)
        if not is_quoted and value in JOINING_WORDS:
            message = LocalizableText(
                "Conditions are joined by a space; alternatives by a comma, as in state:discarded,cancelled."
            )
            raise FilterSyntaxError(message, position=start, word=str(value))
        self._end_value()
        return Term(WORDS_FIELD.name, (value,), is_negated=is_negated)

    def _field_term(self, named: re.Match[str], *, is_negated: bool) -> Term:
        field = find_field(named[1], self.fields)
        if field is None:
            message = LocalizableText(
                "There is no such field. To search for a word with a colon, put it in quotation marks."
            )
            raise FilterSyntaxError(message, position=named.start(), word=named[1], known=tuple(self.fields))
        self.position = named.end()
        op = self._op(field)
        start = self.position
        values = [self._value(_BARE_VALUE, field)[0]]
        while self.text.startswith(",", self.position):
            self.position += 1
            values.append(self._value(_BARE_VALUE, field)[0])
            if len(values) > MAX_VALUES:
                raise FilterSyntaxError(
                    LocalizableText("A field has at most %(limit)s alternatives.", {"limit": MAX_VALUES}),
                    position=self.position,
                )
        self._end_value()
        values = list(dict.fromkeys(values))
        if op and len(values) > 1:
            message = LocalizableText("A comparison takes one value.")
            raise FilterSyntaxError(message, position=start, word=self.text[start : self.position])
        if not op and any(isinstance(value, datetime) and not _is_day(value) for value in values):
            message = LocalizableText("A time needs >, >=, < or <= before it; a date does not.")
            raise FilterSyntaxError(message, position=start, word=self.text[start : self.position])
        return Term(field.name, tuple(values), op, is_negated=is_negated)

    def _op(self, field: Field) -> str:
        start = self.position
        written = self._take(_OP)
        op = "" if written == "=" else written
        if op not in field.ops:
            allowed = [op for op in field.ops if op]
            values = {"field": field.name, "known": " ".join(allowed), "example": field.example}
            message = (
                LocalizableText("%(field)s needs one of %(known)s, as in %(example)s.", values)
                if allowed
                else LocalizableText("%(field)s does not support comparisons; write it as in %(example)s.", values)
            )
            raise FilterSyntaxError(message, position=start, word=written)
        return op

    def _value(self, bare: re.Pattern[str], field: Field) -> tuple[Value, bool]:
        start = self.position
        is_quoted = self.text.startswith('"', start)
        written = self._quoted() if is_quoted else self._take(bare)
        if not written and not (is_quoted and field.may_be_empty):
            raise FilterSyntaxError(
                LocalizableText("A value is missing, as in %(example)s.", {"example": field.example}), position=start
            )
        if len(written) > MAX_VALUE_CHARACTERS:
            message = LocalizableText("A value has at most %(limit)s characters.", {"limit": MAX_VALUE_CHARACTERS})
            raise FilterSyntaxError(message, position=start, word=written)
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in written):
            raise FilterSyntaxError(LocalizableText("Control characters are not allowed."), position=start)
        try:
            return field.read(written), is_quoted
        except ValueUnreadableError as error:
            raise FilterSyntaxError(error.detail, position=start, word=written, known=error.known) from None

    def _quoted(self) -> str:
        start = self.position
        at, characters = start + 1, list[str]()
        while at < len(self.text):
            character = self.text[at]
            if character == '"':
                self.position = at + 1
                return "".join(characters)
            if character == "\\" and self.text[at + 1 : at + 2] in {"\\", '"'}:
                at += 1
                character = self.text[at]
            characters.append(character)
            at += 1
        raise FilterSyntaxError(LocalizableText("The quotation mark is not closed."), position=start)

    def _end_value(self) -> None:
        if self.position < len(self.text) and not self.text[self.position].isspace():
            raise FilterSyntaxError(
                LocalizableText("A space is missing here."), position=self.position, word=self.text[self.position]
            )

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.position)
        if found is None:
            return ""
        self.position = found.end()
        return found[0]


def _is_day(moment: datetime) -> bool:
    return moment.hour == moment.minute == moment.second == moment.microsecond == 0
