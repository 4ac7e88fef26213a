"""Reads of one row."""

from __future__ import annotations

import pytest

from tenants.database.reads import first_or_raise


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
