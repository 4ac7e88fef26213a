"""Sentences that are kept, and told in the language of whoever reads them in the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tenants.texts import filled, said

_PLACE: Final = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence in plain English, with its values apart; a value may be a sentence itself, or a list of them.

    As a `str` it is English, for what programs read; `told` is for people.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return filled(self.text, _with_values(self.values, str))

    @property
    def told(self) -> str:
        """The sentence in the reader's language."""
        return said(self.text, _with_values(self.values, lambda sentence: sentence.told))

    def as_kept(self) -> dict[str, Any]:
        """What `from_kept` reads, as JSON holds it."""
        return {"text": self.text, "values": {name: _kept(value) for name, value in self.values.items()}}

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> Self:
        """The sentence that was kept."""
        return cls(kept["text"], {name: _read(value) for name, value in kept["values"].items()})


def recognise(written: str, sentences: Iterable[Sentence]) -> Sentence | None:
    """The first of some sentences that this text is, with the values that stand in it; None for none."""
    for sentence in sentences:
        values = _values_in(written, sentence.text)
        if values is not None:
            return Sentence(sentence.text, values)
    return None


def _values_in(written: str, text: str) -> dict[str, str] | None:
    """What stands in the places of a text, from the last to the first; a value may hold words of the text itself."""
    *before, end = _PLACE.split(text)
    if not before:
        return {} if written == text else None
    if not written.endswith(end):
        return None
    left, values = written.removesuffix(end), {}
    while len(before) > 2:
        *before, literal, name = before
        left, found, values[name] = left.rpartition(literal)
        if not found:
            return None
    literal, name = before
    return {**values, name: left.removeprefix(literal)} if left.startswith(literal) else None


def keep(sentences: Iterable[Sentence | str]) -> list[Any]:
    """Sentences as a column of JSON holds them: each in English, and behind it what it takes to say it otherwise.

    The English comes first, and alone where that is all there is, because releases before know nothing else.
    """
    kept: list[Any] = []
    for sentence in sentences:
        kept.append(str(sentence))
        if isinstance(sentence, Sentence) and sentence.values:
            kept.append(sentence.as_kept())
    return kept


def read_kept(kept: Iterable[Any]) -> list[Sentence]:
    """The sentences that were kept; one that was kept as a text alone has no values."""
    found: list[Sentence] = []
    for part in kept:
        if not isinstance(part, Mapping):
            found.append(Sentence(str(part)))
            continue
        sentence = Sentence.from_kept(part)
        # Its English stands before it.
        if found and found[-1] == Sentence(str(sentence)):
            found.pop()
        found.append(sentence)
    return found


def _with_values(values: Mapping[str, Any], say: Callable[[Sentence], str]) -> dict[str, Any]:
    return {name: _said_value(value, say) for name, value in values.items()}


def _said_value(value: Any, say: Callable[[Sentence], str]) -> Any:
    if isinstance(value, Sentence):
        return say(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(_said_value(part, say)) for part in value)
    return value


def _kept(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.as_kept()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_kept(part) for part in value]
    return value if isinstance(value, int | float | None) else str(value)


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Sentence.from_kept(value)
    return [_read(part) for part in value] if isinstance(value, list) else value
