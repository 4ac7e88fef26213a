"""The export of the audit log as JSON lines or CSV. Each export is itself recorded in the audit log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from tenants.audit.chain import ENTRY_FIELDS, chain_of, moment_text
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Scope, require_scope, scope_context
from tenants.models import AuditLogEntry

ExportFormat = Literal["jsonl", "csv"]
CONTENT_TYPES: Final[Mapping[ExportFormat, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
SEAL_FIELDS: Final = ("chain", "sequence", "entry_hash", "previous_hash", "hash", "sealed_at")
_PAGE_ENTRIES: Final = 500
_TARGET: Final = "tenants.auditlogentry"
# A spreadsheet reads a cell with such a start as a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_entries(
    *,
    entries: QuerySet[AuditLogEntry],
    filters: Mapping[str, Any],
    file_format: ExportFormat,
    before_page: Callable[[], None],
) -> Iterator[bytes]:
    """Write an audit entry of the export at once, and return an iterator of the file's lines, newest entry first.

    Entries newer than that one are not exported. The lines are read in pages after the request's transaction has ended,
    so the tenant scope is set again for each page. ``before_page()`` raises if the caller has lost the permission.
    """
    own = record_audit(
        action="audit.exported", target=AuditTarget(_TARGET), after={"format": file_format, "filters": dict(filters)}
    )
    rows = entries.select_related("seal").order_by("-id")
    return _ENCODERS[file_format](_read_pages(rows, require_scope(), own.pk, before_page))


def _read_pages(
    rows: QuerySet[AuditLogEntry], scope: Scope, below: UUID, before_page: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    while True:
        before_page()
        with scope_context(scope):
            page = [(entry.pk, _describe(entry)) for entry in rows.filter(id__lt=below)[:_PAGE_ENTRIES]]
        yield from (described for _, described in page)
        if len(page) < _PAGE_ENTRIES:
            return
        below = page[-1][0]


def _describe(entry: AuditLogEntry) -> dict[str, Any]:
    """Return an entry with all hashed fields, and its seal."""
    described: dict[str, Any] = {name: getattr(entry, name) for name in ENTRY_FIELDS if name != "tenant"}
    described |= {"id": str(entry.pk), "at": moment_text(entry.at)}
    described["tenant"] = None if entry.tenant_id is None else str(entry.tenant_id)
    seal = getattr(entry, "seal", None)
    sealed = {name: None if seal is None else getattr(seal, name) for name in SEAL_FIELDS}
    sealed["chain"] = str(chain_of(entry.tenant_id))
    sealed["sealed_at"] = None if seal is None else moment_text(seal.sealed_at)
    return {**{name: described[name] for name in ENTRY_FIELDS}, **sealed}


def _as_json_lines(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for entry in entries:
        yield json.dumps(entry, ensure_ascii=False, cls=DjangoJSONEncoder).encode() + b"\n"


def _as_csv(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    yield _csv_line((*ENTRY_FIELDS, *SEAL_FIELDS))
    for entry in entries:
        yield _csv_line([_cell(value) for value in entry.values()])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


_ENCODERS: Final[Mapping[ExportFormat, Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]]] = {
    "jsonl": _as_json_lines,
    "csv": _as_csv,
}
