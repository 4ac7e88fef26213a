"""The file of signed heads: JSON lines, each the head of a chain, appended to and never rewritten."""

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
    """Take away what a run that was killed has left of its last line; the head in it is still to be written."""
    with path.open("rb+") as file:
        written = file.read()
        file.truncate(written.rfind(b"\n") + 1)


def read_heads(path: Path) -> Iterator[dict[str, Any]]:
    """The heads of a file; `FieldInvalidError` names the line that is none."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _read_head(line, f"{path}, line {number}")


def _read_head(line: str, place: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except ValueError as error:
        raise FieldInvalidError("%(place)s: It is not JSON.", {"place": place}) from error
    if not isinstance(head, dict) or {name: type(value) for name, value in head.items()} != _FIELDS:
        raise FieldInvalidError(
            "%(place)s: It is not a signed head; its fields are %(known)s.",
            {"place": place, "known": ", ".join(_FIELDS)},
        )
    return head
