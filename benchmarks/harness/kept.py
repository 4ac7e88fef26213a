"""The last measurement of each part, kept beside the table: a run of one part leaves the others as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness.outcome import LOAD_BEFORE, RESULTS, describe_machine, today
from benchmarks.harness.parts import Finding


@dataclass(frozen=True, slots=True)
class Measured:
    """The findings of one part, and the day, the machine and its load before that run."""

    date: str
    machine: str
    load: float
    findings: Sequence[Finding]


def read_measured(benchmark: str) -> dict[str, Measured]:
    """Return the last measurement of each part of a benchmark that was ever measured, by the part's name."""
    file = _file_of(benchmark)
    if not file.exists():
        return {}
    rows = json.loads(file.read_text(encoding="utf-8"))
    return {
        name: Measured(row["date"], row["machine"], row["load"], [Finding(**finding) for finding in row["findings"]])
        for name, row in rows.items()
    }


def keep_measured(benchmark: str, part: str, findings: Sequence[Finding]) -> None:
    """Replace a part's findings."""
    row = Measured(today(), describe_machine(), round(LOAD_BEFORE, 1), list(findings))
    _write(benchmark, {**read_measured(benchmark), part: row})


def _write(benchmark: str, rows: Mapping[str, Measured]) -> None:
    text = json.dumps({name: asdict(row) for name, row in sorted(rows.items())}, ensure_ascii=False, indent=1)
    RESULTS.mkdir(exist_ok=True)
    _file_of(benchmark).write_text(text + "\n", encoding="utf-8")


def _file_of(benchmark: str) -> Path:
    return RESULTS / f"{benchmark}.json"
