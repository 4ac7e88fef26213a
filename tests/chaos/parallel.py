"""Parallel runs of rows: a process and a stack for each, up to a limit."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobsplatform.embedded.server_user import die_with_parent
from tests.chaos.planning import Plan
from tests.chaos.report import RowResult
from tests.chaos.results import HISTORY, RESULTS, Results, Run, read_results
from tests.chaos.servers import LOGS, ROOT, make_blueprint

LOOK_SECONDS = 0.2
# No row takes longer, even if it hangs.
MOST_SECONDS = 2_400.0
STILL_SECONDS = 60.0


@dataclass(slots=True)
class _Running:
    plan: Plan
    folder: Path
    process: subprocess.Popen[bytes]
    began: float


def run_in_parallel(plans: Sequence[Plan], folder: Path, *, stacks: int, kept: Path) -> list[RowResult]:
    """Run all rows, up to ``stacks`` at once; move the logs of failed ones to ``kept``."""
    began = time.monotonic()
    make_blueprint(folder / "blueprint")
    _say(f"the blueprint is made after {time.monotonic() - began:.0f} s")
    waiting, running, results, said_at = list(plans), [], [], time.monotonic()
    while waiting or running:
        while waiting and _may_start(waiting[0], running, stacks):
            running.append(_start(waiting.pop(0), folder))
        for done in [one for one in running if _is_over(one)]:
            running.remove(done)
            results.append(_collect(done, kept))
            _say(f"{len(results)} of {len(plans)} rows after {time.monotonic() - began:.0f} s: {results[-1].words}")
            said_at = time.monotonic()
        if time.monotonic() - said_at > STILL_SECONDS:
            said_at = time.monotonic()
            _say(f"{', '.join(one.plan.row.id for one in running)} running, {len(waiting)} rows wait")
        time.sleep(LOOK_SECONDS)
    return results


def _may_start(plan: Plan, running: Sequence[_Running], stacks: int) -> bool:
    if any(one.plan.row.is_alone for one in running):
        return False
    return not running if plan.row.is_alone else len(running) < stacks


def _start(plan: Plan, folder: Path) -> _Running:
    own = folder / plan.row.id
    output = folder / f"{plan.row.id}.out"
    _say(f"{plan.row.id} begins: {plan.row.fault}, seeds {', '.join(map(str, plan.seeds))}")
    with output.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.single_row", plan.row.id, str(own), *map(str, plan.seeds)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
        )
    return _Running(plan, own, process, time.monotonic())


def _is_over(one: _Running) -> bool:
    if one.process.poll() is not None:
        return True
    if time.monotonic() - one.began > MOST_SECONDS:
        one.process.kill()
        one.process.wait()
        return True
    return False


def _collect(one: _Running, kept: Path) -> RowResult:
    output = one.folder.with_suffix(".out").read_text(errors="replace")
    if (one.folder / RESULTS).exists():
        found = read_results(one.folder / RESULTS)
    else:
        last = (output.strip().splitlines() or ["no output"])[-1]
        fault = f"not run: status {one.process.returncode}: {last[:300]}"
        found = Results([Run(one.plan.seeds[0], violations=[fault])])
    result = RowResult(one.plan.row, found.runs, time.monotonic() - one.began, found.machine)
    if result.violations:
        _keep(one, output, kept / f"{one.plan.row.id}-{one.plan.seeds[0]}")
    shutil.rmtree(one.folder, ignore_errors=True)
    return result


def _keep(one: _Running, output: str, target: Path) -> None:
    """Keep the row's output and its processes' logs, for the analysis of a failure."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "output.txt").write_text(output)
    for name in (HISTORY, RESULTS):
        if (one.folder / name).exists():
            shutil.copy2(one.folder / name, target / name)
    if (one.folder / LOGS).exists():
        shutil.copytree(one.folder / LOGS, target / LOGS)
    _say(f"{one.plan.row.id}: logs, events and effects are kept in {target}")


def _say(words: str) -> None:
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {words}\n")
    sys.stdout.flush()
