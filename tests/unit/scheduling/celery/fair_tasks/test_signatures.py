"""A call becomes a payload, the payload the same call, and the schema refuses invalid arguments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scheduling.celery.fair_tasks.signatures import CallSignature, SignatureUnfitError


def resize(image: int, /, width: int, height: int = 10, *, fit: Literal["crop", "pad"] = "crop") -> None: ...
def gather(first: str, *rest: int, key: str = "") -> None: ...
def record(name: str, **facts: str) -> None: ...
def everything(
    a: None,
    b: bool,
    c: float,
    d: list[int],
    e: dict[str, bool],
    f: str | None,
    g: int | str,
    h: Any,
    i: Annotated[int, "x"],
) -> None: ...
def bare(a, b=1): ...
def nested(rows: Sequence[Mapping[str, list[int]]], other: dict, more: list) -> None: ...  # type: ignore[type-arg]


def fits(function: Callable[..., Any], payload: dict[str, Any]) -> bool:
    schema: Any = CallSignature.of(function).schema
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid(payload)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "payload"),
    [
        (resize, (1, 2), {}, {"image": 1, "width": 2}),
        (resize, (1,), {"width": 2, "fit": "pad"}, {"image": 1, "width": 2, "fit": "pad"}),
        (gather, ("a", 1, 2), {"key": "k"}, {"first": "a", "rest": [1, 2], "key": "k"}),
        (gather, ("a",), {}, {"first": "a"}),
        (record, ("n",), {"x": "1", "y": "2"}, {"name": "n", "x": "1", "y": "2"}),
        (bare, ([1],), {}, {"a": [1]}),
    ],
)
def test_call_is_equal_after_conversion_to_payload_and_back(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], payload: dict[str, Any]
) -> None:
    call = CallSignature.of(function)
    assert call.payload_of(args, kwargs) == payload
    assert fits(function, payload)
    again_args, again_kwargs = call.call_of(payload)
    expected, found = call.signature.bind(*args, **kwargs), call.signature.bind(*again_args, **again_kwargs)
    expected.apply_defaults()
    found.apply_defaults()
    assert found.arguments == expected.arguments


@given(st.integers(), st.lists(st.integers()), st.text())
def test_call_with_variadic_arguments_is_equal_after_conversion(first: int, rest: list[int], key: str) -> None:
    call = CallSignature.of(gather)
    args, kwargs = call.call_of(call.payload_of((str(first), *rest), {"key": key}))
    assert (args, kwargs) == ((str(first), *rest), {"key": key})


@pytest.mark.parametrize(
    ("function", "payload"),
    [
        (resize, {"width": 2}),  # a missing argument
        (resize, {"image": 1, "width": "2"}),  # a wrong type
        (resize, {"image": True, "width": 2}),  # a boolean is not a number
        (resize, {"image": 1, "width": 2, "depth": 3}),  # an unknown argument
        (resize, {"image": 1, "width": 2, "fit": "stretch"}),
        (gather, {"first": "a", "rest": ["b"]}),
        (record, {"name": "n", "x": 1}),
        (everything, {"a": None}),
        (nested, {"rows": [{"k": ["x"]}], "other": {}, "more": []}),
        (bare, {"b": 1}),
    ],
)
def test_payload_that_does_not_fit_the_signature_is_refused(
    function: Callable[..., Any], payload: dict[str, Any]
) -> None:
    assert not fits(function, payload)


def test_every_json_type_may_be_annotated() -> None:
    values = {"a": None, "b": True, "c": 1.5, "d": [1], "e": {"k": True}, "f": None, "g": "x", "h": [{}], "i": 1}
    assert fits(everything, values)
    assert fits(nested, {"rows": [{"k": [1]}], "other": {"k": 1}, "more": ["x"]})


@pytest.mark.parametrize("annotation", [dt.date, bytes, set, dict[int, str], Callable, tuple[int, int]])
def test_annotation_without_json_type_is_refused_with_its_parameter(annotation: Any) -> None:
    def task(value: Any) -> None: ...

    task.__annotations__["value"] = annotation
    with pytest.raises(SignatureUnfitError, match=r"value: .*payload_schema"):
        CallSignature.of(task)


def test_ambiguous_argument_names_are_refused() -> None:
    def task(a: int, /, **others: int) -> None: ...

    with pytest.raises(SignatureUnfitError, match="cannot distinguish"):
        CallSignature.of(task)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3, 4), {}), ((1, 2), {"depth": 3})])
def test_call_with_invalid_arguments_raises_type_error(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="argument"):
        CallSignature.of(resize).payload_of(args, kwargs)
