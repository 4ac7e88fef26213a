"""Reads of rows."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from tenants.database.reads import first_or_raise, from_row


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    seconds: float
    note: str = ""


class Rows:
    def __init__(self, *rows: object) -> None:
        self.rows = rows

    def first(self) -> object:
        return next(iter(self.rows), None)


def test_first_row_is_returned() -> None:
    assert first_or_raise(Rows(0, 1), LookupError) == 0


def test_missing_row_raises_the_error() -> None:
    with pytest.raises(LookupError, match="no row"):
        first_or_raise(Rows(), LookupError("no row"))


def test_record_takes_the_attributes_of_its_row() -> None:
    row = SimpleNamespace(name="noop", seconds=1.5, note="kept", further=1)
    assert from_row(Record, row) == Record("noop", 1.5, "kept")


def test_given_value_replaces_the_attribute_of_the_row() -> None:
    assert from_row(Record, SimpleNamespace(name="noop", note=""), seconds=2.0) == Record("noop", 2.0)


def test_record_of_row_without_an_attribute_is_refused() -> None:
    with pytest.raises(AttributeError, match="note"):
        from_row(Record, SimpleNamespace(name="noop", seconds=1.5))
