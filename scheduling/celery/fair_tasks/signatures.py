"""Conversions between a function's signature, its calls, and payloads of jobs, without side effects.

A payload holds the arguments by name, so that API clients write what a Python caller writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from scheduling.kit.base import Json

# `True` is the schema that accepts any value.
_PLAIN: Mapping[Any, Any] = {
    Parameter.empty: True,
    Any: True,
    object: True,
    None: {"type": "null"},
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}
_ARRAYS = (list, Sequence)
_OBJECTS = (dict, Mapping)


class SignatureUnfitError(TypeError):
    """The error for a function with an argument that JSON cannot express."""


@dataclass(frozen=True, slots=True)
class CallSignature:
    """A function's signature, and the JSON schema of payloads that hold its arguments."""

    signature: inspect.Signature
    schema: Json

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """Build the call signature of a function; raise SignatureUnfitError for an argument that cannot be JSON."""
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())
        named = [parameter for parameter in parameters if parameter.kind is not Parameter.VAR_KEYWORD]
        rest = next((parameter for parameter in parameters if parameter.kind is Parameter.VAR_KEYWORD), None)
        if rest is not None and any(one.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL) for one in named):
            raise SignatureUnfitError(
                f"{function.__qualname__} takes **{rest.name} and positional-only arguments; a payload has only names "
                "and cannot distinguish them."
            )
        schema = {
            "type": "object",
            "properties": {parameter.name: _schema_of_parameter(parameter) for parameter in named},
            "required": [
                parameter.name
                for parameter in named
                if parameter.default is parameter.empty and parameter.kind is not Parameter.VAR_POSITIONAL
            ],
            "additionalProperties": False if rest is None else _schema_of_parameter(rest),
        }
        return cls(signature, schema)

    def payload_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload for a call with these arguments; raise TypeError if they do not fit the signature.

        Omitted arguments stay omitted: the job uses the function's defaults at run time.
        """
        payload: dict[str, Any] = {}
        for name, value in self.signature.bind(*args, **kwargs).arguments.items():
            match self.signature.parameters[name].kind:
                case Parameter.VAR_KEYWORD:
                    payload |= value
                case Parameter.VAR_POSITIONAL:
                    payload[name] = list(value)
                case _:
                    payload[name] = value
        return payload

    def call_of(self, payload: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments that a valid payload holds."""
        bound = inspect.BoundArguments(self.signature, {})
        rest = dict(payload)
        for parameter in self.signature.parameters.values():
            if parameter.kind is Parameter.VAR_KEYWORD:
                bound.arguments[parameter.name] = rest
            elif parameter.name in rest:
                value = rest.pop(parameter.name)
                bound.arguments[parameter.name] = tuple(value) if parameter.kind is Parameter.VAR_POSITIONAL else value
        bound.apply_defaults()
        return bound.args, bound.kwargs


def _schema_of_parameter(parameter: Parameter) -> Any:
    try:
        schema = _schema_of(parameter.annotation)
    except SignatureUnfitError as error:
        raise SignatureUnfitError(
            f"{parameter.name}: {error} Annotate it with a JSON type, or pass payload_schema to fair_task."
        ) from None
    return {"type": "array", "items": schema} if parameter.kind is Parameter.VAR_POSITIONAL else schema


def _schema_of(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return _schema_of_plain(annotation)
    if origin is Annotated:
        return _schema_of(arguments[0])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [_schema_of(one) for one in arguments]}
    if origin in _ARRAYS:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin in _OBJECTS and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    raise SignatureUnfitError(f"{annotation} has no JSON type.")


def _schema_of_plain(annotation: Any) -> Any:
    if annotation in _ARRAYS:
        return {"type": "array"}
    if annotation in _OBJECTS:
        return {"type": "object"}
    try:
        return _PLAIN[annotation]
    except (KeyError, TypeError):
        raise SignatureUnfitError(f"{annotation!r} has no JSON type.") from None
