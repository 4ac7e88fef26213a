"""Draw the tables of docs/benchmarks.md from benchmarks/results/*.json: `python -m tools.benchmark_page`.

A table stands between `<!-- rows: NAME PART … -->` and `<!-- end -->`. With `most:` or `least:` instead of `rows:`, it
is sorted by the number that each row begins with, and lists below it the systems that are better than the platform.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "benchmarks.md", ROOT / "benchmarks" / "results"
OURS = "this platform"
_BLOCK = re.compile(r"(<!-- (rows|most|least): (\w+) ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)

type Row = dict[str, Any]


def draw_page(text: str, results: Path = RESULTS) -> str:
    """Return the page with each of its tables drawn again."""

    def draw(block: re.Match[str]) -> str:
        start, order, name, words, end = block.groups()
        stored = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        parts = [(part, stored.get(part)) for part in words.split()]
        lines = _plain(parts) if order == "rows" else _ranked(parts, most_first=order == "most")
        return "\n".join([start, *lines, "", *_machines(parts), end])

    return _BLOCK.sub(draw, text)


def _plain(parts: Sequence[tuple[str, Row | None]]) -> list[str]:
    rows = ["| what | target | measured |", "|---|---|---|"]
    findings = [row for part, last in parts for row in (last["findings"] if last else [_missing(part)])]
    return rows + [f"| {row['what']} | {row['target']} | {row['measured']} |" for row in findings]


def _missing(part: str) -> Row:
    return {"what": f"`{part}`", "target": "–", "measured": "not measured"}


def _ranked(parts: Sequence[tuple[str, Row | None]], *, most_first: bool) -> list[str]:
    findings = [row for _, last in parts if last for row in last["findings"]]
    findings.sort(key=_number, reverse=most_first)
    names = [row["what"].partition(": ")[2] for row in findings]
    rows = ["| system | measured | set up as |", "|---|---|---|"]
    better: list[str] = []
    ahead: list[str] = []
    for name, row in zip(names, findings, strict=True):
        is_ours = name.startswith(OURS)
        rows.append(f"| {f'**{name}**' if is_ours else name} | {row['measured']} | {row['beside']} |")
        if is_ours:
            ahead.append(f"- Better than {name}: {'; '.join(better) or 'none'}.")
        else:
            better.append(name)
    return [*rows, "", *ahead]


def _number(row: Row) -> float:
    return float(row["measured"].split()[0].replace(",", ""))


def _machines(parts: Sequence[tuple[str, Row | None]]) -> list[str]:
    """Return when and where the parts were measured, with the load before."""
    runs: dict[str, list[str]] = {}
    for part, last in parts:
        if last:
            words = f"on {last['date']}, with a load of {last['load']:.1f} before, on {last['machine']}"
            runs.setdefault(words, []).append(f"`{part}`")
    texts = [f"{', '.join(names)} {words}" for words, names in runs.items()]
    return [f"Measured {'; '.join(texts)}.", ""] if texts else []


if __name__ == "__main__":
    PAGE.write_text(draw_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
