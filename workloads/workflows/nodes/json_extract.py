"""Nodes of type `json_extract`: they read JSON from a text, also from a fenced block of one, and validate it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from scheduling.kit.base import PermanentError
from workloads.model_endpoints.answer_schema import AnswerMismatchError, parse_answer, require_match
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

MAX_CHARACTERS: Final = 1_000_000
_FENCE: Final = "```"


def prepare(place: NodeContext) -> PreparedNode:
    """Return the JSON that the value is, or that its text contains.

    Raise `PermanentError` if there is none, or if it does not match the schema.
    """
    value = place.reading.evaluate(place.config["value"])
    try:
        found = _read(value) if isinstance(value, str) else value
        if "schema" in place.config:
            require_match(found, place.config["schema"])
    except AnswerMismatchError as error:
        raise PermanentError(str(error), code="json_invalid") from None
    return PreparedNode(now=lambda: NodeOutput({"json": found}))


def _read(text: str) -> Any:
    """Return the JSON that a text is, else that of its first fenced block that is JSON."""
    if len(text) > MAX_CHARACTERS:
        raise AnswerMismatchError(f"The text has more than {MAX_CHARACTERS:,} characters.")
    try:
        return parse_answer(text)
    except AnswerMismatchError as error:
        for block in _blocks_of(text):
            try:
                return parse_answer(block)
            except AnswerMismatchError:
                continue
        raise error from None


def _blocks_of(text: str) -> Iterator[str]:
    """Yield the fenced blocks of a text that name no other language than JSON."""
    for part in text.split(_FENCE)[1::2]:
        first, _, rest = part.partition("\n")
        if first.strip().lower() in {"", "json"}:
            yield rest
        elif first.strip()[0] in "{[":
            yield part
