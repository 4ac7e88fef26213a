"""The runner of a benchmark's parts, one after the other on a cleared platform, and the table of all of them.

A part that fails becomes a missed row and does not stop the others. A run of some parts keeps the last findings of the
others in results/NAME.json, with their own dates.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness.filling import clear_platform
from benchmarks.harness.outcome import LOAD_BEFORE, RESULTS, Outcome, describe_machine, today
from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, Part


@dataclass(frozen=True, slots=True)
class Measured:
    """The findings of one part, and the day, the machine and its load before that run."""

    date: str
    machine: str
    load: float
    findings: Sequence[Finding]


def run_benchmark(benchmark: Benchmark, folder: Path, only: Sequence[str] = ()) -> Outcome:
    """Measure all parts, or those named, and return the table of the last measurement of each."""
    found: list[Finding] = []
    for part in benchmark.parts:
        if not only or part.name in only:
            findings = _measure(part, folder)
            keep_measured(benchmark.name, part.name, findings)
            found += findings
    return draw_table(benchmark, read_measured(benchmark.name), is_met=all(finding.is_met for finding in found))


def read_measured(benchmark: str) -> dict[str, Measured]:
    """Return the last measurement of each measured part of a benchmark, by the part's name."""
    file = RESULTS / f"{benchmark}.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {
        name: Measured(**{**row, "findings": [Finding(**finding) for finding in row["findings"]]})
        for name, row in rows.items()
    }


def keep_measured(benchmark: str, part: str, findings: Sequence[Finding]) -> None:
    """Replace a part's findings."""
    row = Measured(today(), describe_machine(), round(LOAD_BEFORE, 1), list(findings))
    rows = {**read_measured(benchmark), part: row}
    text = json.dumps({name: asdict(row) for name, row in sorted(rows.items())}, ensure_ascii=False, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{benchmark}.json").write_text(text + "\n", encoding="utf-8")


def draw_table(benchmark: Benchmark, measured: Mapping[str, Measured], *, is_met: bool) -> Outcome:
    """Return the table of all parts.

    `is_met` is the result of this run, while the verdict covers all rows of the table.
    """
    known = {part.name: measured[part.name] for part in benchmark.parts if part.name in measured}
    findings = [finding for last in known.values() for finding in last.findings]
    has_simulation = any(finding.simulated != NO_TARGET for finding in findings)
    rows = [["what", "target", "measured", "simulated", "on", ""]]
    rows += [row for part in benchmark.parts for row in _rows(part, known.get(part.name))]
    beside = "\n".join(f"- {finding.what}: {finding.beside}." for finding in findings if finding.beside)
    missed = sum(not finding.is_met for finding in findings)
    unmeasured = [part.name for part in benchmark.parts if part.name not in known]
    verdict = [f"missed by {missed} of {len(findings)} rows"] if missed else []
    verdict += [f"not measured: {', '.join(unmeasured)}"] if unmeasured else []
    return Outcome(
        name=benchmark.name,
        title=benchmark.title,
        rows=rows if has_simulation else [[*row[:3], *row[4:]] for row in rows],
        target="every row's own",
        is_met=is_met,
        method="\n\n".join(filter(None, [benchmark.method, beside])),
        verdict="; ".join(verdict) or "met",
        reproduce=benchmark.reproduce,
        measured_on=_machines(benchmark, known),
    )


def _rows(part: Part, last: Measured | None) -> list[list[str]]:
    if last is None:
        return [[part.name, NO_TARGET, "not measured", NO_TARGET, NO_TARGET, "not measured"]]
    return [
        [finding.what, finding.target, finding.measured, finding.simulated, last.date, finding.verdict]
        for finding in last.findings
    ]


def _machines(benchmark: Benchmark, known: Mapping[str, Measured]) -> str:
    """Return where and when the parts were measured, with the machine's load before each run."""
    runs: dict[tuple[str, float, str], list[str]] = {}
    for name, last in known.items():
        runs.setdefault((last.date, last.load, last.machine), []).append(name)
    words = "; ".join(
        f"on {date} {'all parts' if len(names) == len(benchmark.parts) else ', '.join(names)}, "
        f"with a load of {load:.1f} before, on {machine}"
        for (date, load, machine), names in runs.items()
    )
    return f"Measured {words}. All processes share the machine."


def _measure(part: Part, folder: Path) -> Sequence[Finding]:
    began = time.monotonic()
    own_folder = folder / part.name
    own_folder.mkdir()
    try:
        clear_platform()
        findings = part.measure(own_folder)
    except Exception as error:  # noqa: BLE001 - in the table, with its traceback on the screen
        traceback.print_exc()
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        findings = [Finding(part.name, "measured at all", words.replace("|", "/")[:200], is_met=False, beside="failed")]
    print(f"{part.name}: {time.monotonic() - began:.0f} s")
    for finding in findings:
        cells = [finding.what, finding.target, finding.measured, finding.simulated, finding.verdict]
        print(f"  {' | '.join(cells)}", flush=True)
    return findings
