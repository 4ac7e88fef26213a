"""Result of a row, as its process passes it to the process that started it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.chaos.alerts import Summary
from tests.chaos.history import History

RESULTS, HISTORY = "results.json", "history.json"


@dataclass(slots=True)
class Run:
    """Result of one seed."""

    seed: int
    recoveries: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    jobs: int = 0
    seconds: float = 0.0
    # Of the alerts; only of the first seed, because alerts of one may still be open in the next.
    notified: Summary | None = None


@dataclass(slots=True)
class Results:
    """Results of all seeds, with their machine."""

    runs: list[Run] = field(default_factory=list)
    machine: str = ""


def write_results(results: Results, path: Path) -> None:
    path.write_text(json.dumps(asdict(results)))


def read_results(path: Path) -> Results:
    found = json.loads(path.read_text())
    return Results([_run_of(run) for run in found["runs"]], found["machine"])


def _run_of(values: dict[str, Any]) -> Run:
    notified = values["notified"]
    return Run(**values | {"notified": notified and Summary(**notified)})


def write_history(history: History, path: Path) -> None:
    """Write the whole input of the checks, for the analysis of a failure."""
    rows = {one.name: [asdict(row) for row in getattr(history, one.name)] for one in fields(history)}
    path.write_text(json.dumps(rows, default=str, indent=1))
