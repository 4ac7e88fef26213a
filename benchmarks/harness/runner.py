"""Run a benchmark's parts, one after the other on a cleared platform, and draw the table of all of them.

A part that cannot be measured is a missed row and no end of the others. A run of some parts keeps what the last runs
found of the others, with their own dates.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.filling import clear_platform
from benchmarks.harness.kept import Measured, keep_measured, read_measured
from benchmarks.harness.outcome import Outcome
from benchmarks.harness.parts import Benchmark, Finding, Part

NOTHING = "–"


def run_benchmark(benchmark: Benchmark, folder: Path, only: Sequence[str] = ()) -> Outcome:
    """Measure all parts, or those named, and return the table of the last measurement of each."""
    found: list[Finding] = []
    for part in benchmark.parts:
        if not only or part.name in only:
            findings = _measure(part, folder)
            keep_measured(benchmark.name, part.name, findings)
            found += findings
    return draw_table(benchmark, read_measured(benchmark.name), is_met=all(finding.is_met for finding in found))


def draw_table(benchmark: Benchmark, measured: Mapping[str, Measured], *, is_met: bool) -> Outcome:
    """Return the table of all parts; `is_met` is of this run, while the verdict is of all that stands in the table."""
    findings = [finding for _, last in _measured_parts(benchmark, measured) for finding in last.findings]
    has_simulation = any(finding.simulated != NOTHING for finding in findings)
    rows = [["what", "target", "measured", *(["simulated"] if has_simulation else []), "on", ""]]
    for part in benchmark.parts:
        cells = _rows(part, measured.get(part.name))
        rows += cells if has_simulation else [[*row[:3], *row[4:]] for row in cells]
    beside = [f"- {finding.what}: {finding.beside}." for finding in findings if finding.beside]
    return Outcome(
        name=benchmark.name,
        title=benchmark.title,
        rows=rows,
        target="every row's own",
        is_met=is_met,
        method="\n\n".join([benchmark.method, *(["\n".join(beside)] if beside else [])]),
        verdict=_verdict(benchmark, measured),
        reproduce=benchmark.reproduce,
        measured_on=_machines(benchmark, measured),
    )


def _rows(part: Part, last: Measured | None) -> list[list[str]]:
    if last is None:
        return [[part.name, NOTHING, "not measured", NOTHING, NOTHING, "not measured"]]
    return [
        [finding.what, finding.target, finding.measured, finding.simulated, last.date, finding.verdict]
        for finding in last.findings
    ]


def _measured_parts(benchmark: Benchmark, measured: Mapping[str, Measured]) -> list[tuple[str, Measured]]:
    return [(part.name, measured[part.name]) for part in benchmark.parts if part.name in measured]


def _verdict(benchmark: Benchmark, measured: Mapping[str, Measured]) -> str:
    """Return "met" only if every part was measured and every row is met."""
    rows = [finding for _, last in _measured_parts(benchmark, measured) for finding in last.findings]
    missed = sum(not finding.is_met for finding in rows)
    unmeasured = [part.name for part in benchmark.parts if part.name not in measured]
    words = [f"missed by {missed} of {len(rows)} rows"] if missed else []
    words += [f"not measured: {', '.join(unmeasured)}"] if unmeasured else []
    return "; ".join(words) or "met"


def _machines(benchmark: Benchmark, measured: Mapping[str, Measured]) -> str:
    """Return where and when the parts were measured, with the machine's load before each run."""
    runs: dict[tuple[str, float, str], list[str]] = {}
    for name, last in _measured_parts(benchmark, measured):
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
    sys.stdout.write(f"{part.name}: {time.monotonic() - began:.0f} s\n")
    for finding in findings:
        cells = [finding.what, finding.target, finding.measured, finding.simulated, finding.verdict]
        sys.stdout.write(f"  {' | '.join(cells)}\n")
    sys.stdout.flush()
    return findings
