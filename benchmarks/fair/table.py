"""All parts, one after the other, and the table that they make.

Each part has its own tenants and processes on a cleared platform. One that cannot be measured is a missed row and no
end of the others. A run of some parts keeps what the last runs found of the others, with their own dates.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.fair import deaths, live_changes, shares, throughput, ticks, unmerged, waits
from benchmarks.fair.kept import Measured, keep_measured, read_measured
from benchmarks.fair.parts import Finding, Part
from benchmarks.outcome import Outcome

PARTS = (
    Part("jain", 1.0, shares.measure_jain),
    Part("weights", 1.5, shares.measure_weights),
    Part("sub_keys", 1.0, shares.measure_sub_keys),
    Part("busy", 2.0, shares.measure_busy),
    Part("quiet_tenant", 6.0, waits.measure_quiet_tenant),
    Part("changes", 3.0, live_changes.measure_changes),
    Part("throughput", 3.0, throughput.measure_throughput),
    Part("merged", 1.5, throughput.measure_merged),
    Part("bare_celery", 3.0, unmerged.measure_bare_celery),
    Part("idle", 2.5, waits.measure_idle),
    Part("takeover", 1.0, deaths.measure_takeover),
    Part("killed", 1.5, deaths.measure_killed),
    # Last, because it leaves hundreds of thousands of tenants.
    Part("ticks", 4.0, ticks.measure_ticks),
)


def measure(folder: Path, only: Sequence[str] = ()) -> Outcome:
    """Measure all parts, or those named, and draw the table of what was measured last of each."""
    found = []
    for part in PARTS:
        if not only or part.name in only:
            findings = _measure(part, folder)
            keep_measured(part.name, findings)
            found += findings
    return draw_table(read_measured(), is_met=all(finding.is_met for finding in found))


def draw_table(measured: Mapping[str, Measured], *, is_met: bool) -> Outcome:
    """The table of all parts; `is_met` is of this run, while the verdict is of all that stands in the table."""
    rows = [["what", "target", "measured", "simulated", "on", ""]]
    beside = []
    for part in PARTS:
        if (last := measured.get(part.name)) is None:
            rows.append([part.name, "–", "not measured", "–", "–", "not measured"])
            continue
        for finding in last.findings:
            *cells, verdict = finding.cells()
            rows.append([*cells, last.date, verdict])
            beside.append(f"- {finding.what}: {finding.beside}.")
    return Outcome(
        name="fairness",
        title="The fair scheduler against its targets",
        rows=rows,
        target="every row's own",
        is_met=is_met,
        method=_METHOD + "\n".join(beside),
        verdict=_verdict(measured),
        reproduce="make bench-fairness",
        measured_on=_machines(measured),
    )


_METHOD = (
    "Real PostgreSQL, Valkey, dispatcher and worker processes, all on this machine; `sleep` and `noop` jobs, submitted "
    "by the service that the API calls, great backlogs by set statements. The simulator's column asks the same of the "
    "pure code with `benchmarks/workloads/`, where slots and job lengths are the file's.\n\n"
)


def _verdict(measured: Mapping[str, Measured]) -> str:
    """Met only if every part was measured and every row is met."""
    rows = [finding for part in PARTS if part.name in measured for finding in measured[part.name].findings]
    missed = sum(not finding.is_met for finding in rows)
    unmeasured = [part.name for part in PARTS if part.name not in measured]
    words = [f"missed by {missed} of {len(rows)} rows"] if missed else []
    words += [f"not measured: {', '.join(unmeasured)}"] if unmeasured else []
    return "; ".join(words) or "met"


def _machines(measured: Mapping[str, Measured]) -> str:
    """Where and when, with the machine's load before each run."""
    runs: dict[tuple[str, float, str], list[str]] = {}
    for part in PARTS:
        if (last := measured.get(part.name)) is not None:
            runs.setdefault((last.date, last.load, last.machine), []).append(part.name)
    told = "; ".join(
        f"on {date} {'all parts' if len(names) == len(PARTS) else ', '.join(names)}, with a load of {load:.1f} before, "
        f"on {machine}"
        for (date, load, machine), names in runs.items()
    )
    return f"Measured {told}. All processes share the machine."


def _measure(part: Part, folder: Path) -> Sequence[Finding]:
    began = time.monotonic()
    own_folder = folder / part.name
    own_folder.mkdir()
    try:
        findings = part.measure(own_folder)
    except Exception as error:  # noqa: BLE001 - told in the table, with its traceback on the screen
        traceback.print_exc()
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        findings = [Finding(part.name, "measured at all", words.replace("|", "/")[:200], is_met=False, beside="failed")]
    sys.stdout.write(f"{part.name}: {time.monotonic() - began:.0f} s\n")
    for finding in findings:
        sys.stdout.write(f"  {' | '.join(finding.cells())}\n")
    sys.stdout.flush()
    return findings
