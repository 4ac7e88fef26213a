"""The result of a benchmark: printed, and stored with the machine's description."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.db import connection

RESULTS = Path(__file__).parent.parent / "results"
# The load before this run: processes that wanted the processors.
LOAD_BEFORE = os.getloadavg()[0]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one benchmark. `rows` begin with the heading; `target` is a text."""

    name: str
    title: str
    rows: Sequence[Sequence[str]]
    target: str
    is_met: bool
    method: str
    # Set if they differ from the defaults: the verdict, how to repeat the run, and when and on which machine it was
    # measured.
    verdict: str = ""
    reproduce: str = ""
    measured_on: str = ""


def record(outcome: Outcome) -> bool:
    """Print the result and write it to results/NAME.md; return whether its target was met."""
    print(_render(outcome), flush=True)
    write(outcome)
    return outcome.is_met


def write(outcome: Outcome) -> None:
    """Write the result to results/NAME.md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{outcome.name}.md").write_text(_render(outcome), encoding="utf-8")


def _render(outcome: Outcome) -> str:
    heading, *others = [[str(cell) for cell in row] for row in outcome.rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *others))
    verdict = outcome.verdict or ("met" if outcome.is_met else "missed")
    reproduce = outcome.reproduce or f"make bench BENCH={outcome.name}"
    measured_on = outcome.measured_on or f"Measured on {today()}: {describe_machine()}; {describe_load()}."
    blocks = [f"# {outcome.title}", table, f"Target: {outcome.target}: **{verdict}**.", outcome.method]
    return "\n\n".join([*blocks, f"Reproduce: `{reproduce}`. {measured_on}\n"])


def today() -> str:
    """Return the date, in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def describe_machine() -> str:
    """Return processor, cores, memory, system, Python and PostgreSQL in one line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        (postgres,) = cursor.fetchone()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, PostgreSQL {postgres.split()[0]}"
    )


def describe_load() -> str:
    """Return a text about the machine's load before this run."""
    priority = ""
    # Run as `chrt --rr 10` on a machine that is not idle, or with a lower priority.
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        priority = "; run at real-time priority, ahead of that load"
    elif (niceness := os.nice(0)) > 0:
        priority = f"; run at niceness {niceness}, behind that load"
    return f"all processes share the machine, whose load was {LOAD_BEFORE:.1f} before{priority}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "an unnamed processor"
