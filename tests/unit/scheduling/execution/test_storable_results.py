"""Values that results may contain, and errors that name others."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy

from scheduling.execution.json_limits import storable_json, storable_result
from scheduling.kit.base import PermanentError


class Foo:
    pass


class Reduced:
    def __json__(self) -> dict[str, Any]:
        return {"at": date(2026, 1, 2)}


class Colour(StrEnum):
    RED = "red"


def deep(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"plain", "plain"),
        (b"\xff\xfe", "//4="),
        (gettext_lazy("Name"), "Name"),
        (Colour.RED, "red"),
        (Reduced(), {"at": "2026-01-02"}),
        ((1, (2.5, None)), [1, [2.5, None]]),
        ({1: True}, {1: True}),
    ],
)
def test_result_may_contain_values_of_the_celery_serializer(value: Any, stored: Any) -> None:
    assert storable_result({"value": value}, max_bytes=1_000) == {"value": stored}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [0, 1, 2, {"owner": Foo()}]}, "result.items[3].owner: object of type Foo cannot be stored."),
        ({"ids": {1, 2}}, "result.ids: object of type set cannot be stored."),
        ({"rate": float("nan")}, "result.rate: the number nan cannot be stored."),
        ({"rate": [float("-inf")]}, "result.rate[0]: the number -inf cannot be stored."),
        ({"text": "a\0b"}, "result.text: a text with NUL or a lone surrogate cannot be stored."),
        ({"text": "\ud800"}, "result.text: a text with NUL or a lone surrogate cannot be stored."),
        ({"by": {(1, 2): 3}}, "result.by: a key of type tuple cannot be stored."),
        ({"call": print}, "result.call: object of type builtin_function_or_method cannot be stored."),
    ],
)
def test_error_names_path_and_type_of_unstorable_value(value: Any, message: str) -> None:
    with pytest.raises(PermanentError) as caught:
        storable_result(value, max_bytes=1_000)
    assert (str(caught.value), caught.value.code) == (message, "result_invalid")


def test_result_that_is_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(PermanentError, match="the limit is 10") as caught:
        storable_result({"text": "x" * 100}, max_bytes=10)
    assert caught.value.code == "result_too_large"
    with pytest.raises(PermanentError) as deeper:
        storable_result(deep(100_000), max_bytes=1_000)
    assert deeper.value.code == "result_invalid"


def test_long_path_is_truncated() -> None:
    with pytest.raises(PermanentError) as caught:
        storable_result({"k" * 10_000: Foo()}, max_bytes=1_000)
    assert len(str(caught.value)) < 300


def test_checkpoint_takes_plain_json_only() -> None:
    assert storable_json({"word": "a\0b"}, what="checkpoint", max_bytes=100) == {"word": "a\ufffdb"}
    with pytest.raises(PermanentError, match=r"checkpoint\.at: object of type date cannot be stored"):
        storable_json({"at": date(2026, 1, 2)}, what="checkpoint", max_bytes=100)
