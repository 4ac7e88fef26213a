"""The printable page of an evidence pack: controls, and the first rows of each section."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

# Columns of sections that consist of audit entries.
_COLUMNS: Final = ("at", "actor_label", "action", "target_type", "target_id", "tenant", "reason")
_MOST_CHARACTERS: Final = 300


def render_report(manifest: Mapping[str, Any], shown: Mapping[str, Sequence[bytes]]) -> SafeString:
    """Return the page of a pack, given its manifest and the first lines of each section."""
    sections = [_table(facts, [json.loads(line) for line in shown[facts["name"]]]) for facts in manifest["sections"]]
    by_name = {facts["name"]: facts for facts in manifest["sections"]}
    controls = [
        {
            **control,
            "sections": [(by_name[name]["title"], f"{by_name[name]['rows']:,}") for name in control["sections"]],
        }
        for control in manifest["controls"]
    ]
    return render_to_string("scheduling/evidence.html", {"pack": manifest, "controls": controls, "sections": sections})


def _table(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the title, the columns and the cells of a section as texts."""
    if rows and "seal" in rows[0]:
        rows = [{name: (row["entry"] or {}).get(name) for name in _COLUMNS} for row in rows]
    columns = list(rows[0]) if rows else []
    cells = [[_text(row[name]) for name in columns] for row in rows]
    counts = {
        "count": f"{facts['rows']:,}",
        "left": f"{facts['rows'] - len(rows):,}",
        "is_cut": len(rows) < facts["rows"],
    }
    return {**facts, **counts, "columns": columns, "cells": cells}


def _text(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
