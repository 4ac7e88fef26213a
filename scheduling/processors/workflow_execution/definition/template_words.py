"""What Jinja finds wrong with a template, in the reader's language.

The sentences are Jinja's own, with places for their values; what it says otherwise is told as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from jinja2 import TemplateSyntaxError

from tenants.sentences import Sentence, recognise
from tenants.texts import said

# What is told in several sentences is told of an end that is missing.
_NEXT: Final = re.compile(r" (?=Jinja was looking|You probably made|The innermost block)")
# Where one begins as another does, the longer one comes first.
_SENTENCES: Final = (
    Sentence("unexpected end of template, expected %(wanted)s."),
    Sentence("expected token %(wanted)s, got %(found)s"),
    Sentence("Expected an expression, got %(found)s"),
    Sentence("unexpected char %(character)s at %(count)s"),
    Sentence("unexpected %(found)s, expected %(wanted)s"),
    Sentence("unexpected %(found)s"),
    Sentence("Encountered unknown tag %(name)s."),
    Sentence("Unexpected end of template."),
    Sentence("Jinja was looking for the following tags: %(tags)s."),
    Sentence(
        "You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for %(tags)s.",
    ),
    Sentence("The innermost block that needs to be closed is %(name)s."),
    Sentence("tag name expected"),
    Sentence("can't assign to %(name)s"),
    Sentence("expected name or number"),
    Sentence("expected subscript expression"),
    Sentence("expected call"),
    Sentence("invalid syntax for function call expression"),
    Sentence("non-default argument follows default argument"),
    Sentence("You cannot chain multiple tests with is"),
    Sentence("Missing end of comment tag"),
    Sentence("Missing end of raw directive"),
    Sentence("Invalid character in identifier"),
    Sentence("unknown Unicode character name"),
    Sentence(
        "Block names in Jinja have to be valid Python identifiers and may not contain hyphens,"
        " use an underscore instead.",
    ),
)
# What Jinja calls a piece of a template, in quotation marks of its own.
_TOKENS: Final[Mapping[str, Sentence]] = {
    f"'{word}'": word
    for word in (
        Sentence("begin of comment"),
        Sentence("end of comment"),
        Sentence("begin of statement block"),
        Sentence("end of statement block"),
        Sentence("begin of print statement"),
        Sentence("end of print statement"),
        Sentence("template data / text"),
        Sentence("end of template"),
    )
}


def told_syntax_error(error: TemplateSyntaxError) -> str:
    """The error in the reader's language, with its line."""
    told = " ".join(map(_told, _NEXT.split(error.message or "")))
    return said("Line %(line)s: %(message)s", {"line": error.lineno, "message": told})


def _told(part: str) -> str:
    sentence = recognise(part, _SENTENCES)
    if sentence is None:
        return part
    return said(sentence.text, {name: _told_value(value) for name, value in sentence.values.items()})


def _told_value(value: str) -> str:
    token = _TOKENS.get(value)
    return value.replace("' or '", f"'{said(' or ')}'") if token is None else f"'{token.told}'"
