"""The fields that an audit entry has changed. The functions are pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DiffKind = Literal["added", "removed", "changed", "same"]
GLYPHS: Mapping[DiffKind, str] = {"added": "+", "removed": "−", "changed": "~", "same": "="}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field of an audit entry: its text before and after, and the kind of its change."""

    name: str
    kind: DiffKind
    before: str
    after: str

    @property
    def glyph(self) -> str:
        return GLYPHS[self.kind]


def diff_documents(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldDiff]:
    """Return the differences of two documents, field by field in the order of names; unchanged fields come last."""
    old, new = before or {}, after or {}
    diffs = [_diff(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in sorted({*old, *new})]
    return sorted(diffs, key=lambda diff: diff.kind == "same")


def _diff(name: str, old: Any, new: Any) -> FieldDiff:
    kind: DiffKind = "added" if old is _ABSENT else "removed" if new is _ABSENT else "same" if old == new else "changed"
    return FieldDiff(name, kind, _text(old), _text(new))


def _text(value: Any) -> str:
    if value is _ABSENT:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
