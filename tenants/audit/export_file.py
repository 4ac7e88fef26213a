"""The file of signed chain heads: JSON lines, one head on each line, append-only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tenants.exceptions import FieldInvalidError

_FIELDS = {
    "chain": str,
    "kind": str,
    "sequence": int,
    "hash": str,
    "signed_at": str,
    "key_id": str,
    "signature": str,
}


def cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed run has left; the next run writes its head again."""
    with path.open("rb+") as file:
        written = file.read()
        file.truncate(written.rfind(b"\n") + 1)


def read_heads(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the heads in a file; raise `FieldInvalidError` with the line number if a line is malformed."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _read_head(line, f"{path}, line {number}")


def _read_head(line: str, place: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except ValueError as error:
        raise FieldInvalidError("%(place)s: not JSON.", {"place": place}) from error
    if not isinstance(head, dict) or {name: type(value) for name, value in head.items()} != _FIELDS:
        raise FieldInvalidError(
            "%(place)s: not a signed head; its fields must be %(known)s.",
            {"place": place, "known": ", ".join(_FIELDS)},
        )
    return head
