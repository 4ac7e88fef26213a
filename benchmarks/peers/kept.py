"""What each turn measured, kept as it comes, so that a run which is cut off goes on with ``--resume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.harness.outcome import LOAD_BEFORE, RESULTS, describe_machine, today
from benchmarks.harness.parts import MeasureFailedError

FILE = RESULTS / "throughput.json"


@dataclass(slots=True)
class Run:
    """A run's turns by table and name, one entry a round, each what was measured in it by its name."""

    date: str
    machine: str
    load: float
    versions: Mapping[str, str]
    turns: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)

    def of(self, table: str, name: str) -> list[dict[str, float]]:
        """Somebody's turns, the first round first."""
        return self.turns.setdefault(table, {}).setdefault(name, [])

    def keep(self, table: str, name: str, measured: Mapping[str, float]) -> None:
        """Put a turn behind those before, in the file too."""
        self.of(table, name).append({what: round(value, 3) for what, value in measured.items()})
        RESULTS.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def begin_run(versions: Mapping[str, str], *, resume: bool) -> Run:
    """A new run, or the last one that is gone on with. Raises MeasureFailedError where that ran on something else."""
    run = Run(today(), describe_machine(), round(LOAD_BEFORE, 1), dict(versions))
    if not resume or not FILE.exists():
        return run
    last = Run(**json.loads(FILE.read_text(encoding="utf-8")))
    if (last.machine, last.versions) != (run.machine, run.versions):
        raise MeasureFailedError("The run before had another machine or other versions: begin a new one.")
    return last
