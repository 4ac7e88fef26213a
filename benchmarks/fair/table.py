"""All parts, one after the other, and the table that they make.

Each part has its own tenants and processes on a cleared platform. One that cannot be measured is a missed row and no
end of the others.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fair import live_changes, load, shares, waits
from benchmarks.fair.parts import Finding, Part
from benchmarks.outcome import Outcome

PARTS = (
    Part("jain", 1.5, shares.measure_jain),
    Part("weights", 2.0, shares.measure_weights),
    Part("sub_keys", 1.5, shares.measure_sub_keys),
    Part("busy", 1.5, shares.measure_busy),
    Part("quiet_tenant", 6.0, waits.measure_quiet_tenant),
    Part("changes", 1.5, live_changes.measure_changes),
    Part("throughput", 3.0, load.measure_throughput),
    Part("ticks", 5.0, load.measure_ticks),
    Part("idle", 1.5, waits.measure_idle),
    Part("takeover", 1.5, waits.measure_takeover),
)


def measure(folder: Path, only: Sequence[str] = ()) -> Outcome:
    """Measure all parts, or those named; the table is whole only with all of them."""
    chosen = [part for part in PARTS if not only or part.name in only]
    findings = [finding for part in chosen for finding in _measure(part, folder)]
    beside = "\n".join(f"- {finding.what}: {finding.beside}." for finding in findings)
    missing = sorted({part.name for part in PARTS} - {part.name for part in chosen})
    return Outcome(
        name="fairness",
        title="The fair scheduler against its targets",
        rows=[
            ["what", "target", "measured", "simulated", ""],
            *(finding.cells() for finding in findings),
        ],
        target="every row's own",
        is_met=all(finding.is_met for finding in findings),
        method=(
            "Real PostgreSQL, Valkey, dispatcher and worker processes, all on this machine; `sleep` and `noop` jobs, "
            "submitted by the service that the API calls. The simulator's column asks the same of the pure code with "
            f"`benchmarks/workloads/`, where slots and job lengths are the file's.\n\n{beside}"
            + (f"\n\nNot measured in this run: {', '.join(missing)}." if missing else "")
        ),
    )


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
