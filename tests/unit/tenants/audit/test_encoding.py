"""The bytes of entries and seals: the fast encoding is that of the canonical JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from tenants.audit.chain import ENTRY_FIELDS, Link, canonical, encode_row, hash_entry, hash_row, moment_text, read_json

TEXT = "".join(map(chr, range(0x80))) + 'é≥😀\u2028"\\'
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("tenant", [None, UUID(int=7)])
@pytest.mark.parametrize(
    "document", [None, "null", '{"b": 1.50, "aa": [1e400, {}], "a": "\\u00e9"}', "[" * 501 + "]" * 501]
)
def test_row_has_the_bytes_of_canonical_json(tenant: UUID | None, document: str | None) -> None:
    row = dict.fromkeys(ENTRY_FIELDS, TEXT) | {"id": UUID(int=1), "at": AT, "tenant": tenant}
    row |= {"before": document, "after": document}
    parsed = None if document is None else read_json(document)
    entry = {**row, "before": parsed, "after": parsed}
    texts = {"id": str(row["id"]), "at": moment_text(AT), "tenant": tenant and str(tenant)}
    assert encode_row(row) == canonical({**entry, **texts})
    assert hash_row(row) == hash_entry(entry)
    assert encode_row({**row, **texts}) == encode_row(row)


def test_seal_has_the_bytes_of_canonical_json() -> None:
    link = Link(UUID(int=1), 5, 'a"', "b\\", AT.astimezone(timezone(timedelta(hours=3))))
    fields = {"chain": str(UUID(int=1)), "entry_hash": 'a"', "previous_hash": "b\\", "sequence": 5, "version": 1}
    assert link.encode() == canonical({**fields, "sealed_at": "2026-01-02T03:04:05.000006Z"})
