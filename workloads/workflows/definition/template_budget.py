"""The budget of rendering a template once: its steps, its time, and the size of all values that it creates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from tenants.translation import translate

MAX_OUTPUT_CHARACTERS: Final = 512_000
MAX_STEPS: Final = 100_000
MAX_SECONDS: Final = 2.0
# Of all values that a template creates, discarded ones included.
MAX_MADE_CHARACTERS: Final = 16_000_000
# An operation costs one step more per this many characters or elements.
_SIZE_OF_STEP: Final = 1_000
# An element of a list takes the memory of this many characters.
_CHARACTERS_OF_ELEMENT: Final = 8
# Name of the budget among a rendering's variables; names in templates cannot begin with an underscore.
BUDGET: Final = "__budget"


class TemplateRefusedError(Exception):
    """Raised for a template that uses unsupported constructs, is too long or too deep; the message is the reason."""


class VariableMissingError(Exception):
    """Raised if a reference or a template names a value that does not exist; the message names it."""


class TemplateFailedError(Exception):
    """Raised if rendering a template fails; the message is the reason."""


class RenderBudget:
    """What is left of the budget of one rendering."""

    def __init__(self) -> None:
        self._steps = 0
        self._made = 0
        self._ends_at = time.monotonic() + MAX_SECONDS

    def spend(self, size: int = 0) -> None:
        """Charge one operation on a value of this size; raise `TemplateFailedError` if the budget is used up."""
        self._steps += 1 + size // _SIZE_OF_STEP
        if self._steps > MAX_STEPS:
            raise TemplateFailedError(
                translate("The template takes more than %(limit)s steps.", {"limit": f"{MAX_STEPS:,}"})
            )
        if time.monotonic() > self._ends_at:
            raise TemplateFailedError(
                translate("The template takes more than %(limit)s s.", {"limit": f"{MAX_SECONDS:g}"})
            )

    def make(self, value: Any) -> None:
        """Charge a value that an operation has created; raise `TemplateFailedError` if the budget is used up."""
        size = size_of(value)
        self._made += size if isinstance(value, str) else size * _CHARACTERS_OF_ELEMENT
        if self._made > MAX_MADE_CHARACTERS:
            raise TemplateFailedError(
                translate(
                    "The template creates values of more than %(limit)s characters in total.",
                    {"limit": f"{MAX_MADE_CHARACTERS:,}"},
                )
            )
        self.spend(size)


def size_of(value: Any) -> int:
    """Return the number of characters of a text, or of elements of a list or object; 1 for any other value."""
    return len(value) if isinstance(value, str | list | tuple | Mapping) else 1


def check_whole(value: Any) -> None:
    """Raise `TemplateFailedError` if a value, with everything nested in it, is larger than an output may be.

    A list that is contained twice counts twice, because a few elements nested often enough would otherwise be
    unbounded.
    """
    total, pending = 0, [value]
    while pending:
        item = pending.pop()
        total += len(item) if isinstance(item, str) else 1
        check_length(total)
        if isinstance(item, Mapping):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            pending += item


def check_length(length: int) -> None:
    """Raise `TemplateFailedError` if a text of this length is longer than an output may be."""
    if length > MAX_OUTPUT_CHARACTERS:
        raise TemplateFailedError(
            translate(
                "The template creates a text of more than %(limit)s characters.",
                {"limit": f"{MAX_OUTPUT_CHARACTERS:,}"},
            )
        )
