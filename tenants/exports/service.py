"""Files of lists, written row by row as the reader takes them. Each export is recorded in the audit log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.http import StreamingHttpResponse

from tenants.audit.service import AuditTarget, record_audit
from tenants.exceptions import FieldInvalidError
from tenants.requests.features import require_feature

Row = Mapping[str, Any]
# The parameter that names the format, in the URL of a list of the API and in the console's form.
FORMAT: Final = "format"
# The parameter of lists of the API that names the order of the rows.
ORDERING: Final = "ordering"
CONTENT_TYPES: Final[Mapping[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
}
# A spreadsheet reads a cell with such a start as a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class ExportBrokenError(Exception):
    """Raised if a page of a list cannot be read any more; the file is aborted, unfinished."""


def read_format(given: str) -> str:
    """Return the name of the format; raise `FieldInvalidError` if there is no such format."""
    if given not in CONTENT_TYPES:
        raise FieldInvalidError(
            "format: %(wanted)r is not one of %(known)s.", {"wanted": given[:20], "known": ", ".join(CONTENT_TYPES)}
        )
    return given


@dataclass(frozen=True, slots=True)
class Around:
    """What a JSON file has around its rows: an object with the rows at a key. Without it, the file is an array."""

    key: str
    others: Mapping[str, Any]


def export_response(
    *,
    pages: Iterator[Sequence[Row]],
    file_format: str,
    target: str,
    filters: Mapping[str, str],
    around: Around | None = None,
) -> StreamingHttpResponse:
    """Record the export in the audit log at once, and return a response that writes the file page by page.

    `target` is the label of the rows' model. ``pages`` is read after the request's transaction has ended, so it sets
    the tenant scope of each page itself.
    """
    require_feature("exports")
    noun = "audit" if target == "tenants.auditlogentry" else "list"
    given = {name: value for name, value in filters.items() if value}
    record_audit(action=f"{noun}.exported", target=AuditTarget(target), after={"format": file_format, "filters": given})
    name = target.rpartition(".")[2]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"', "Cache-Control": "no-store"}
    encode = partial(_as_json, around=around) if file_format == "json" else _ENCODERS[file_format]
    rows = (row for page in pages for row in page)
    return StreamingHttpResponse(encode(rows), content_type=CONTENT_TYPES[file_format], headers=headers)


def _as_json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        yield _json(row) + b"\n"


def _as_json(rows: Iterable[Row], around: Around | None) -> Iterator[bytes]:
    start, end = b"[", b"]\n"
    if around is not None:
        # The object up to its last key, whose rows follow.
        start, end = _json({**around.others, around.key: []}).removesuffix(b"]}"), b"]}\n"
    yield start
    before = b""
    for row in rows:
        yield before + _json(row)
        before = b",\n"
    yield end


def _as_csv(rows: Iterable[Row]) -> Iterator[bytes]:
    columns: list[str] | None = None
    for row in rows:
        if columns is None:
            columns = list(row)
            yield _csv_line(_cell(name) for name in columns)
        yield _csv_line(_cell(row.get(name)) for name in columns)


def _json(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, cls=DjangoJSONEncoder).encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    is_nested = isinstance(value, dict | list)
    text = json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder) if is_nested else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


_ENCODERS: Final[Mapping[str, Callable[[Iterable[Row]], Iterator[bytes]]]] = {
    "csv": _as_csv,
    "jsonl": _as_json_lines,
}
