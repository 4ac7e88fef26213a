"""Fields of metadata, their values, and the filters by them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.exceptions import FieldInvalidError
from workloads.documents.filters import MAX_CHOICES, MAX_CONDITIONS, read_filter
from workloads.documents.metadata import FieldType, check_fields, check_metadata, key_of, keys_of

FIELDS = {
    "author": FieldType.TEXT,
    "year": FieldType.NUMBER,
    "day": FieldType.DATE,
    "draft": FieldType.BOOLEAN,
    "tags": FieldType.TEXTS,
}
NUMBERS = st.integers(-(10**14), 10**14) | st.floats(-1e14, 1e14)


def matches(condition: Any, value: Any, *, name: str = "year") -> bool:
    """Return whether the ranges of the condition contain a key of the value, as the statement compares them."""
    found = read_filter(FIELDS, {name: condition})
    return any(low <= key < high for key in keys_of(value) for low, high in zip(found.lows, found.highs, strict=True))


@given(NUMBERS, NUMBERS)
def test_keys_of_numbers_have_their_order(first: float, second: float) -> None:
    assert (key_of(first) < key_of(second)) == (float(first) < float(second))
    assert (key_of(first) == key_of(second)) == (float(first) == float(second))


@given(NUMBERS, NUMBERS)
def test_bounds_compare_as_numbers_do(value: float, bound: float) -> None:
    value, bound = float(value), float(bound)
    assert matches({"gt": bound}, value) == (value > bound)
    assert matches({"gte": bound}, value) == (value >= bound)
    assert matches({"lt": bound}, value) == (value < bound)
    assert matches({"lte": bound}, value) == (value <= bound)
    assert matches(bound, value) == (value == bound)


@pytest.mark.parametrize(
    ("name", "condition", "matching", "others"),
    [
        ("author", "Ann", "Ann", ["Anna", "An", "ann"]),
        ("author", {"in": ["Ann", "Bob"]}, "Bob", ["Bobby"]),
        ("draft", False, False, [True]),
        ("day", {"gte": "2026-01-01", "lt": "2026-02-01"}, "2026-01-31", ["2025-12-31", "2026-02-01"]),
        ("day", {"gt": "2026-01-01", "lte": "2026-02-01"}, "2026-02-01", ["2026-01-01", "2026-02-02"]),
        ("year", {"gt": 1, "gte": 5}, 5, [2]),
        ("year", {"in": [2024, 2026.0]}, 2026, [2025]),
        ("tags", "red", ["blue", "red"], [["redder"], []]),
        ("tags", {"in": ["red", "green"]}, ["green"], [["blue"]]),
    ],
)
def test_condition_matches_its_values_only(name: str, condition: Any, matching: Any, others: list[Any]) -> None:
    assert matches(condition, matching, name=name)
    assert not any(matches(condition, other, name=name) for other in others)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        "year",
        {"colour": "red"},
        {"year": "2026"},
        {"year": True},
        {"year": None},
        {"year": [2026]},
        {"year": {}},
        {"year": {"in": []}},
        {"year": {"in": [2026] * (MAX_CHOICES + 1)}},
        {"year": {"in": [2026], "gt": 1}},
        {"year": {"near": 3}},
        {"year": {"gt": {"gt": 1}}},
        {"author": {"gt": "a"}},
        {"draft": {"gte": False}},
        {"author": "x" * 201},
        {"author": "a\x01"},
        {"tags": ["red"]},
        {"day": "2026-W01-1"},
        {"day": "31.1.2026"},
        dict.fromkeys(map(str, range(MAX_CONDITIONS + 1)), 1),
    ],
)
def test_filter_that_does_not_fit_is_refused(asked: Any) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        read_filter(FIELDS, asked)
    assert caught.value.errors[0]["field"] == "filter"


def test_no_filter_lets_everything_pass() -> None:
    nothing: tuple[Any, ...] = (None, {})
    for asked in nothing:
        assert not read_filter(FIELDS, asked)
        assert read_filter(FIELDS, asked).parameters["is_filtered"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("colour", None),
        ("year", "2026"),
        ("year", True),
        ("year", 10**15),
        ("year", float("inf")),
        ("year", float("nan")),
        ("day", "2026-02-30"),
        ("day", "20260131"),
        ("day", 20260131),
        ("draft", 1),
        ("author", ""),
        ("author", "x" * 201),
        ("author", "a\x00"),
        ("author", "\ud800"),
        ("author", ["Ann"]),
        ("tags", ["red", 1]),
        ("tags", ["red"] * 51),
        ("tags", [["red"]]),
        ("tags", {"red": 1}),
    ],
)
def test_value_that_does_not_fit_its_field_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        check_metadata(FIELDS, {name: value})
    assert caught.value.errors[0]["field"] == "metadata"


def test_values_are_brought_to_normal_form() -> None:
    given = {"author": "Ame\u0301lie", "tags": ["a", "b", "a"], "year": 2026, "day": "2026-01-31", "draft": None}
    assert check_metadata(FIELDS, given) == {
        "author": "Am\u00e9lie",
        "tags": ["a", "b"],
        "year": 2026,
        "day": "2026-01-31",
        "draft": None,
    }
    assert check_metadata(FIELDS, {"tags": "one"}) == {"tags": ["one"]}


@pytest.mark.parametrize(
    "declared",
    [
        {"year": "number"},
        ["year"],
        [{"name": "year"}],
        [{"name": "year", "type": "integer"}],
        [{"name": "year", "type": "number", "extra": 1}],
        [{"name": 1, "type": "number"}],
        [{"name": " ", "type": "number"}],
        [{"name": "x" * 51, "type": "number"}],
        [{"name": "a\u202eb", "type": "number"}],
        [{"name": "year", "type": "number"}, {"name": " year ", "type": "text"}],
        [{"name": f"f{number}", "type": "text"} for number in range(21)],
        [{"name": "year", "type": ["number"]}],
    ],
)
def test_faulty_declaration_is_refused(declared: Any) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        check_fields(declared)
    assert caught.value.errors[0]["field"] == "metadata_fields"


def test_declaration_is_stored_with_clean_names() -> None:
    assert check_fields([{"name": " year ", "type": "number"}]) == [{"name": "year", "type": "number"}]
