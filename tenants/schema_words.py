"""What JSON Schema finds wrong with a value, in the reader's language.

The sentences are the validator's own, with places for their values, which are read out of what it has written: so no
translation tells more of a value than the validator does. A fault that says something else is told as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from jsonschema.exceptions import ValidationError

from tenants.sentences import Sentence, recognise

_EMPTY: Final = (Sentence("%(value)s should be non-empty"), Sentence("%(value)s is expected to be empty"))
_LENGTH: Final = (*_EMPTY, Sentence("%(value)s is too short"), Sentence("%(value)s is too long"))
_UNDER_NONE: Final = Sentence("%(value)s is not valid under any of the given schemas")
_SENTENCES: Final[Mapping[str | None, Sequence[Sentence]]] = {
    "type": (Sentence("%(value)s is not of type %(types)s"),),
    "required": (Sentence("%(name)s is a required property"),),
    "additionalProperties": (
        Sentence("Additional properties are not allowed (%(names)s was unexpected)"),
        Sentence("Additional properties are not allowed (%(names)s were unexpected)"),
        Sentence("%(names)s does not match any of the regexes: %(patterns)s"),
        Sentence("%(names)s do not match any of the regexes: %(patterns)s"),
    ),
    "unevaluatedProperties": (
        Sentence("Unevaluated properties are not allowed (%(names)s was unexpected)"),
        Sentence("Unevaluated properties are not allowed (%(names)s were unexpected)"),
    ),
    "enum": (Sentence("%(value)s is not one of %(limit)s"),),
    "const": (Sentence("%(limit)s was expected"),),
    "minimum": (Sentence("%(value)s is less than the minimum of %(limit)s"),),
    "maximum": (Sentence("%(value)s is greater than the maximum of %(limit)s"),),
    "exclusiveMinimum": (Sentence("%(value)s is less than or equal to the minimum of %(limit)s"),),
    "exclusiveMaximum": (Sentence("%(value)s is greater than or equal to the maximum of %(limit)s"),),
    "multipleOf": (Sentence("%(value)s is not a multiple of %(limit)s"),),
    "minLength": _LENGTH,
    "maxLength": _LENGTH,
    "minItems": _LENGTH,
    "maxItems": _LENGTH,
    "uniqueItems": (Sentence("%(value)s has non-unique elements"),),
    "items": (
        Sentence("Expected at most %(most)s item but found %(count)s extra: %(extra)s"),
        Sentence("Expected at most %(most)s items but found %(count)s extra: %(extra)s"),
    ),
    "pattern": (Sentence("%(value)s does not match %(limit)s"),),
    "format": (Sentence("%(value)s is not a %(limit)s"),),
    "minProperties": (*_EMPTY, Sentence("%(value)s does not have enough properties")),
    "maxProperties": (*_EMPTY, Sentence("%(value)s has too many properties")),
    "contains": (Sentence("%(value)s does not contain items matching the given schema"),),
    "minContains": (
        Sentence("Too few items match the given schema (expected at least %(least)s but only %(count)s matched)"),
    ),
    "maxContains": (Sentence("Too many items match the given schema (expected at most %(most)s)"),),
    "dependentRequired": (Sentence("%(name)s is a dependency of %(other)s"),),
    "anyOf": (_UNDER_NONE,),
    "oneOf": (_UNDER_NONE, Sentence("%(value)s is valid under each of %(schemas)s")),
    "not": (Sentence("%(value)s should not be valid under %(limit)s"),),
    # A schema that is false, and allows nothing.
    None: (Sentence("False schema does not allow %(value)s"),),
}


def told_fault(fault: ValidationError) -> str:
    """The fault in the reader's language, its values as the validator has written them."""
    sentence = recognise(fault.message, _SENTENCES.get(fault.validator, ()))
    return fault.message if sentence is None else sentence.told
