"""References to stored secrets in texts, `{{ secrets.name }}`: how they are parsed and where they are allowed.

A reference is replaced by its value only in the headers of an outgoing request to a host that the secret is bound to,
when the request is built (`scheduling.kit.http.secret_headers`). The functions of this module are pure.
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
# A document without this text has no reference and need not be searched.
WORD: Final = "secrets"
_NAME: Final = re.compile(NAME_PATTERN)
_REFERENCE: Final = re.compile(rf"\{{\{{[ ]*+secrets\.({NAME_PATTERN})[ ]*+\}}\}}")
# Includes forms that Jinja would read as a reference: {{- secrets["name"] }}.
_MENTION: Final = re.compile(r"\{\{[-+\s]*+secrets\b")

type Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A reference to a stored secret, by the secret's name."""

    name: str

    def __str__(self) -> str:
        return f"{{{{ secrets.{self.name} }}}}"


@dataclass(frozen=True, slots=True)
class ReferenceFault:
    """A reference that is malformed, or at a place where references are not allowed."""

    code: str
    path: Path
    detail: str

    @property
    def pointer(self) -> str:
        """Return the position of the text as a JSON pointer."""
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in self.path)

    @property
    def json_path(self) -> str:
        """Return the position of the text in the form that errors of payloads use, such as `$.headers[0]`."""
        return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


def split_references(text: str) -> tuple[str | SecretReference, ...]:
    """Return the text split into literal pieces and the references between them, without empty pieces."""
    if WORD not in text:
        return (text,)
    pieces = _REFERENCE.split(text)
    found = (SecretReference(piece) if number % 2 else piece for number, piece in enumerate(pieces))
    return tuple(piece for piece in found if piece != "")


def is_reference(value: object) -> bool:
    """Return whether a value is a text that consists of one reference only."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value.strip()) is not None


def is_secret_name(name: str) -> bool:
    """Return whether the text is a valid name of a secret."""
    return _NAME.fullmatch(name) is not None


def mentions_secret(text: str) -> bool:
    """Return whether a text contains a reference, or something that looks like one."""
    return WORD in text and _MENTION.search(text) is not None


def faults_of_references(document: Any, may_stand_at: Callable[[Path], bool]) -> Iterator[ReferenceFault]:
    """Yield a fault for each text of a JSON document with a malformed or misplaced reference.

    `may_stand_at(path)` returns whether a reference is allowed there; in the names of members it never is. The function
    does not recurse.
    """
    for path, text, is_name in _texts_in(document):
        if not mentions_secret(text):
            continue
        if is_name or not may_stand_at(path):
            yield ReferenceFault(
                MISPLACED,
                path,
                translate("Secrets are allowed only in the headers of a request. Remove {{ secrets.… }} here."),
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
    """Return whether any text of a JSON document contains a reference, or something that looks like one."""
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
