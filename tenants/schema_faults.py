"""Error messages of JSON Schema validation, translated into the active language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema.exceptions import ValidationError

from tenants.translation import gettext_noop, interpolate, translate

_MAX_CHARACTERS: Final = 200
_EMPTY: Final = (gettext_noop("%(value)s should be non-empty"), gettext_noop("%(value)s is expected to be empty"))
_LENGTH: Final = (*_EMPTY, gettext_noop("%(value)s is too short"), gettext_noop("%(value)s is too long"))
_UNDER_NONE: Final = gettext_noop("%(value)s is not valid under any of the given schemas")
_TEXTS: Final[Mapping[Any, tuple[str, ...]]] = {
    "type": (gettext_noop("%(value)s is not of type %(types)s"),),
    "required": (gettext_noop("%(name)s is a required property"),),
    "dependentRequired": (gettext_noop("%(name)s is a dependency of %(other)s"),),
    "additionalProperties": (
        gettext_noop("Additional properties are not allowed (%(names)s was unexpected)"),
        gettext_noop("Additional properties are not allowed (%(names)s were unexpected)"),
    ),
    "enum": (gettext_noop("%(value)s is not one of %(limit)s"),),
    "const": (gettext_noop("%(limit)s was expected"),),
    "minimum": (gettext_noop("%(value)s is less than the minimum of %(limit)s"),),
    "maximum": (gettext_noop("%(value)s is greater than the maximum of %(limit)s"),),
    "exclusiveMinimum": (gettext_noop("%(value)s is less than or equal to the minimum of %(limit)s"),),
    "exclusiveMaximum": (gettext_noop("%(value)s is greater than or equal to the maximum of %(limit)s"),),
    "multipleOf": (gettext_noop("%(value)s is not a multiple of %(limit)s"),),
    "minLength": _LENGTH,
    "maxLength": _LENGTH,
    "minItems": _LENGTH,
    "maxItems": _LENGTH,
    "uniqueItems": (gettext_noop("%(value)s has non-unique elements"),),
    "pattern": (gettext_noop("%(value)s does not match %(limit)s"),),
    "format": (gettext_noop("%(value)s is not a %(limit)s"),),
    "minProperties": (*_EMPTY, gettext_noop("%(value)s does not have enough properties")),
    "maxProperties": (*_EMPTY, gettext_noop("%(value)s has too many properties")),
    "anyOf": (_UNDER_NONE,),
    "oneOf": (_UNDER_NONE,),
}
# Keywords whose faults are too long to quote the value: what was expected is enough.
_UNQUOTED: Final = frozenset(
    {"additionalProperties", "oneOf", "not", "items", "contains", "minContains", "maxContains"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)


def describe_fault(fault: ValidationError) -> str:
    """Return the message of a JSON Schema error in the active language.

    For a long value the message states only what was expected. A message that is not the validator's own stays
    unchanged, so that no translation shows more of the value than the message does.
    """
    for text in _TEXTS.get(fault.validator, ()):
        for values in _values_of(fault):
            if interpolate(text, values) == fault.message:
                if len(values.get("value", "")) > _MAX_CHARACTERS:
                    return _describe_rule(fault)
                return translate(text, {name: value[:_MAX_CHARACTERS] for name, value in values.items()})
    return _describe_rule(fault) if fault.validator in _UNQUOTED else fault.message


def _describe_rule(fault: ValidationError) -> str:
    values = {"rule": fault.validator, "wanted": repr(fault.validator_value)[:_MAX_CHARACTERS]}
    return translate("It does not match %(rule)s: %(wanted)s.", values)


def _values_of(fault: ValidationError) -> Iterator[dict[str, str]]:
    """Yield the values that a text about the fault may name; one mapping for each name if it is about names."""
    limit, value = fault.validator_value, fault.instance
    match fault.validator:
        case "required":
            yield from ({"name": repr(name)} for name in limit if name not in value)
        case "dependentRequired":
            yield from (
                {"name": repr(name), "other": repr(other)}
                for other, names in limit.items()
                for name in names
                if other in value
            )
        case "additionalProperties":
            unknown = sorted((name for name in value if name not in fault.schema.get("properties", ())), key=str)
            yield {"names": ", ".join(map(repr, unknown))}
        case _:
            types = limit if isinstance(limit, list) else [limit]
            yield {"value": repr(value), "limit": repr(limit), "types": ", ".join(map(repr, types))}
