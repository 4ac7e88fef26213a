"""Table of results: printed after each run, and stored with the machine's description if the bounds were real."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.outcome import RESULTS, Outcome, today, write
from jobsplatform.demo.measures import percentile
from tests.chaos.alerts import LATEST_SECONDS, NOT_EXPECTED, NOTIFIED_SECONDS, Summary, words_of
from tests.chaos.results import Run
from tests.chaos.row import Row, bound_factor
from tests.chaos.rows import ROWS

FILE = RESULTS / "chaos.json"
HEADING = ("id", "fault", "seeds", "failures", "p50", "greatest", "bound", "notified", "messages", "false", "of")


@dataclass(frozen=True, slots=True)
class RowResult:
    """Result of one row."""

    row: type[Row]
    runs: Sequence[Run]
    seconds: float
    machine: str = ""

    @property
    def violations(self) -> list[str]:
        return [f"{self.row.id} seed {run.seed}: {fault}" for run in self.runs for fault in run.violations]

    @property
    def failures(self) -> int:
        """Return the number of runs with a violation."""
        return sum(bool(run.violations) for run in self.runs)

    @property
    def recoveries(self) -> list[float]:
        return [seconds for run in self.runs for seconds in run.recoveries]

    @property
    def words(self) -> str:
        worst = f"{max(self.recoveries):.2f} s" if self.recoveries else "nothing"
        return (
            f"{self.row.id}: {len(self.runs)} runs, {self.failures} failures, greatest recovery {worst}"
            f" of {self.row.bound_seconds * bound_factor():g} s, {self.seconds:.0f} s{self._notified_words}"
        )

    @property
    def notified(self) -> Summary | None:
        """Return the notifications of its first seed; None if they were not measured."""
        return next((run.notified for run in self.runs if run.notified is not None), None)

    @property
    def _notified_words(self) -> str:
        return "" if self.notified is None else f"; {words_of(self.notified)}"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """Last result of one row, with its day and machine."""

    date: str
    machine: str
    seeds: Sequence[int]
    failures: int
    p50_seconds: float | None
    greatest_seconds: float | None
    # The notifications of its first seed; None if they were not measured.
    notified: Summary | None = None

    @classmethod
    def of(cls, result: RowResult) -> StoredResult:
        found = result.recoveries
        seeds = [run.seed for run in result.runs]
        p50, greatest = (round(percentile(found, 0.5), 2), round(max(found), 2)) if found else (None, None)
        return cls(today(), result.machine, seeds, result.failures, p50, greatest, result.notified)


def print_report(results: Sequence[RowResult]) -> None:
    """Print the table of this run, and every violation."""
    kept = {result.row.id: StoredResult.of(result) for result in results}
    rows = [list(HEADING), *_rows(kept)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADING))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    violations = [violation for result in results for violation in result.violations]
    if bound_factor() != 1:
        lines.append(f"The bounds are multiplied by {bound_factor():g} (CHAOS_BOUND_FACTOR).")
    lines += violations or ["No promise was broken."]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def record_report(results: Sequence[RowResult]) -> None:
    """Replace the stored results of these rows, and write the table; with multiplied bounds only what was notified."""
    kept, found = read_stored(), {result.row.id: StoredResult.of(result) for result in results}
    if bound_factor() != 1:
        found = {
            name: replace(kept[name], notified=one.notified)
            for name, one in found.items()
            if name in kept and one.notified is not None
        }
    if found:
        write_stored(kept | found)
        write(draw_table(kept | found))


def draw_table(kept: Mapping[str, StoredResult]) -> Outcome:
    """Return the table of the last results of all rows."""
    missing = [name for name in ROWS if name not in kept]
    failures = sum(one.failures for one in kept.values())
    runs = sum(len(one.seeds) for one in kept.values())
    words = [f"{failures} of {runs} runs broke a promise"] if failures else []
    words += [f"not run: {', '.join(missing)}"] if missing else []
    late = [name for name, one in kept.items() if one.notified is not None and _is_late(name, one.notified)]
    words += [f"no contact notified in time: {', '.join(late)}"] if late else []
    false = [name for name, one in kept.items() if one.notified is not None and one.notified.false]
    words += [f"false alerts: {', '.join(false)}"] if false else []
    return Outcome(
        name="chaos",
        title="Faults, and what became of the promises",
        rows=[HEADING, *_rows(kept)],
        target="no violation in any run, every recovery within its bound, and contacts notified in time",
        is_met=not words,
        method=_METHOD + "\n".join(f"- {name}: {row.measured}." for name, row in ROWS.items()),
        verdict="; ".join(words),
        reproduce="make chaos",
        measured_on=_machines(kept),
    )


_METHOD = (
    "Real PostgreSQL, Valkey, web, dispatcher and worker processes on loopback, one stack a row, several stacks side "
    "by side; three tenants submit throughout. After each fault everything is restored and drained, and checkers "
    "judge the client's requests and responses, the event table, the effects table, charges, processes and probes: "
    "nothing lost, each job completed that does not fail on purpose, one job a key, one completion, effects once and "
    "none of zombies, caps, nothing foreign, transitions, attempts, fires, counters, ledger, answers, health, "
    "processes, usage. *Notified* is the time from the first seed's fault to the first message at a webhook, the only "
    "contact, *messages* their number until the row's end, *false* the alerts whose first message arrived before the "
    "fault or more than a minute after its end, *of* the alerts' objects. A run with multiplied bounds "
    "(`CHAOS_BOUND_FACTOR`) replaces only these four columns: its day and machine are not in the last line. "
    "Recovery is measured:\n\n"
)


def _rows(kept: Mapping[str, StoredResult]) -> list[list[str]]:
    rows = []
    for name, row in ROWS.items():
        if (one := kept.get(name)) is not None:
            seeds = f"{len(one.seeds)} ({one.seeds[0]}…)" if len(one.seeds) > 1 else f"1 ({one.seeds[0]})"
            row_cells = [name, row.fault, seeds, str(one.failures), _cell(one.p50_seconds), _cell(one.greatest_seconds)]
            bound = f"≤ {row.bound_seconds:g} s"
            rows.append([*row_cells, bound, *_notified_cells(name, one.notified)])
    return rows


def _is_late(name: str, notified: Summary) -> bool:
    if notified.seconds is None:
        return name not in NOT_EXPECTED
    return notified.seconds > LATEST_SECONDS.get(name, NOTIFIED_SECONDS)


def _notified_cells(name: str, notified: Summary | None) -> list[str]:
    if notified is None:
        return ["–"] * 4
    none = "none expected" if name in NOT_EXPECTED else "**none**"
    seconds = none if notified.seconds is None else f"{notified.seconds:.1f} s"
    return [seconds, str(notified.messages), str(notified.false), ", ".join(notified.objects) or "–"]


def _cell(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f} s"


def _machines(kept: Mapping[str, StoredResult]) -> str:
    runs: dict[tuple[str, str], list[str]] = {}
    for name, one in kept.items():
        runs.setdefault((one.date, one.machine), []).append(name)
    described = "; ".join(
        f"on {date} {'all rows' if len(names) == len(kept) else ', '.join(names)}, on {machine}"
        for (date, machine), names in runs.items()
    )
    return f"Run {described}. All processes share the machine."


def read_stored(file: Path | None = None) -> dict[str, StoredResult]:
    """Return the last result of each row that ever ran."""
    file = file or FILE
    if not file.exists():
        return {}
    rows = json.loads(file.read_text(encoding="utf-8"))
    return {name: _stored(row) for name, row in rows.items() if name in ROWS}


def _stored(values: dict[str, Any]) -> StoredResult:
    notified = values.get("notified")
    return StoredResult(**values | {"notified": notified and Summary(**notified)})


def write_stored(kept: Mapping[str, StoredResult], file: Path | None = None) -> None:
    file = file or FILE
    file.parent.mkdir(exist_ok=True)
    rows = {name: asdict(one) for name, one in sorted(kept.items())}
    file.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
