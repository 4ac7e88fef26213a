"""References to stored secrets in texts: `{{ secrets.name }}`, where they may stand and where not. Pure.

A reference is replaced by its value in one place alone: the headers of an outgoing request, while the request to a
bound host is built (`scheduling.kit.http.secret_headers`). Nothing else in the platform resolves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tenants.translation import translate

MAX_NAME_CHARACTERS: Final = 63
NAME_PATTERN: Final = rf"[a-z][a-z0-9_]{{0,{MAX_NAME_CHARACTERS - 1}}}"
MISPLACED: Final = "secret_misplaced"
INVALID: Final = "secret_reference_invalid"
# One of these bytes in a document means that it is worth looking through.
WORD: Final = "secrets"
MAX_FAULTS: Final = 20
_NAME: Final = re.compile(NAME_PATTERN)
_REFERENCE: Final = re.compile(rf"\{{\{{[ ]*+secrets\.({NAME_PATTERN})[ ]*+\}}\}}")
# Also what Jinja would read as one: {{- secrets["name"] }}.
_MENTION: Final = re.compile(r"\{\{[-+\s]*+secrets\b")

type Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A stored secret by its name."""

    name: str

    def __str__(self) -> str:
        return f"{{{{ secrets.{self.name} }}}}"


@dataclass(frozen=True, slots=True)
class ReferenceFault:
    """A reference where none may stand, or one that is not written as such."""

    code: str
    path: Path
    detail: str

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer."""
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in self.path)

    @property
    def json_path(self) -> str:
        """The place as faults of payloads name it."""
        return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


def split_references(text: str) -> tuple[str | SecretReference, ...]:
    """Return the text as its literal pieces and the references between them, without empty pieces."""
    if WORD not in text:
        return (text,)
    pieces = _REFERENCE.split(text)
    found = (SecretReference(piece) if number % 2 else piece for number, piece in enumerate(pieces))
    return tuple(piece for piece in found if piece != "")


def is_reference(value: object) -> bool:
    """Return whether a value is one reference and nothing else."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value.strip()) is not None


def names_in(text: str) -> list[str]:
    """Return the names of the secrets that a text refers to."""
    return [piece.name for piece in split_references(text) if isinstance(piece, SecretReference)]


def is_secret_name(name: str) -> bool:
    """Return whether a secret may have the name."""
    return _NAME.fullmatch(name) is not None


def mentions_secret(text: str) -> bool:
    """Return whether a text holds what looks like a reference, written rightly or not."""
    return WORD in text and _MENTION.search(text) is not None


def faults_of_references(document: Any, may_stand_at: Callable[[Path], bool]) -> Iterator[ReferenceFault]:
    """Yield a fault for each text of a JSON document that refers to a secret where none may stand.

    Names of members are texts too, and no place for a reference. Never recurses.
    """
    for path, text, is_name in _texts_in(document):
        if not mentions_secret(text):
            continue
        if is_name or not may_stand_at(path):
            yield ReferenceFault(
                MISPLACED,
                path,
                translate("A secret may stand in the headers of a request alone. Take {{ secrets.… }} away here."),
            )
        elif any(isinstance(piece, str) and mentions_secret(piece) for piece in split_references(text)):
            yield ReferenceFault(
                INVALID,
                path,
                translate(
                    "Write a reference as {{ secrets.name }}: lower-case letters, digits and underscores, no filter."
                ),
            )


def has_references(document: Any) -> bool:
    """Return whether any text of a JSON document refers to a secret."""
    return any(mentions_secret(text) for _, text, _ in _texts_in(document))


def _texts_in(document: Any) -> Iterator[tuple[Path, str, bool]]:
    level: list[tuple[Path, Any]] = [((), document)]
    while level:
        path, value = level.pop()
        if isinstance(value, str):
            yield path, value, False
        elif isinstance(value, Mapping):
            yield from (((*path, str(name)), str(name), True) for name in value)
            level.extend(((*path, str(name)), child) for name, child in value.items())
        elif isinstance(value, Sequence):
            level.extend(((*path, number), child) for number, child in enumerate(value))
