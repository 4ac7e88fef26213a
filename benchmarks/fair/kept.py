"""What was measured last of each part, kept beside the table: a run of one part leaves the others as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.fair.parts import Finding
from benchmarks.outcome import LOAD_BEFORE, RESULTS, describe_machine, today

FILE = RESULTS / "fairness.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """The findings of one part, and the day, the machine and its load before that run."""

    date: str
    machine: str
    load: float
    findings: Sequence[Finding]


def read_measured() -> dict[str, Measured]:
    """The last measurement of each part that was ever measured, by the part's name."""
    if not FILE.exists():
        return {}
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Measured(row["date"], row["machine"], row["load"], [Finding(**finding) for finding in row["findings"]])
        for name, row in rows.items()
    }


def keep_measured(name: str, findings: Sequence[Finding]) -> None:
    """Put a part's findings in the place of its last ones."""
    row = Measured(today(), describe_machine(), round(LOAD_BEFORE, 1), list(findings))
    _write({**read_measured(), name: row})


def _write(rows: Mapping[str, Measured]) -> None:
    text = json.dumps({name: asdict(row) for name, row in sorted(rows.items())}, ensure_ascii=False, indent=1)
    RESULTS.mkdir(exist_ok=True)
    FILE.write_text(text + "\n", encoding="utf-8")
