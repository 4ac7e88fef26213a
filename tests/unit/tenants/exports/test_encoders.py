"""Files of exports: formats, formulas, and rows that are read only as the file is taken."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from tenants.exceptions import FieldInvalidError
from tenants.exports import service
from tenants.exports.service import CONTENT_TYPES, export_response, read_format

ROW = {"id": UUID(int=7), "at": datetime(2026, 1, 2, tzinfo=UTC), "n": -5, "tags": ["a"], "none": None}


def file_of(pages: Iterator[Sequence[dict[str, Any]]], file_format: str) -> Iterator[bytes]:
    with patch.object(service, "record_audit"), patch.object(service, "require_feature"):
        response = export_response(pages=pages, file_format=file_format, target="app.thing", filters={})
    return iter(response.streaming_content)  # type: ignore[arg-type]


@pytest.mark.parametrize("file_format", CONTENT_TYPES)
def test_rows_are_read_as_the_file_is_taken_and_not_kept(file_format: str) -> None:
    read = 0

    def pages() -> Iterator[list[dict[str, Any]]]:
        nonlocal read
        for number in range(100):
            read += 1
            yield [{"number": number}]

    file = file_of(pages(), file_format)
    assert read == 0
    for taken in range(1, 90):
        next(file)
        assert read <= taken


def test_csv_has_a_header_and_nested_values_as_json() -> None:
    (row,) = csv.DictReader(io.StringIO(b"".join(file_of(iter([[ROW]]), "csv")).decode()))
    assert row["id"] == str(UUID(int=7))
    assert (row["n"], row["tags"], row["none"]) == ("-5", '["a"]', "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_cells_and_titles_are_never_formulas(text: str) -> None:
    body = b"".join(file_of(iter([[{text: text}]]), "csv")).decode()
    assert list(csv.reader(io.StringIO(body, newline=""))) == [[f"'{text}"], [f"'{text}"]]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_array(count: int) -> None:
    rows = json.loads(b"".join(file_of(iter([[ROW] * count]), "json")))
    assert len(rows) == count
    assert all(row["n"] == -5 for row in rows)


def test_json_lines_have_a_row_each() -> None:
    lines = b"".join(file_of(iter([[ROW], [ROW]]), "jsonl")).splitlines()
    assert [json.loads(line)["n"] for line in lines] == [-5, -5]


def test_unknown_format_is_refused() -> None:
    with pytest.raises(FieldInvalidError, match="csv, json, jsonl"):
        read_format("xml")
