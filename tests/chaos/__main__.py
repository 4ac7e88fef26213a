"""Chaos tests: the fault table on real processes, with rows in parallel, each on a stack of its own.

`python -m tests.chaos [--seeds N] [--seed FIRST] [--only W1,R2 …] [--slice N] [--stacks N]`. Exit status 1 if any run
has a violation, 2 if nothing could run. docs/reference/chaos.md describes the rows and the analysis of failures.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

MOST_STACKS = 4
EXIT_VIOLATED, EXIT_UNFIT = 1, 2
# Folder for the logs of failed rows.
KEPT = Path(__file__).resolve().parents[2] / "var" / "chaos"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="of each row; by default 3, and 1 of the long ones")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; by default a random one, which is printed")
    parser.add_argument("--only", action="append", default=[], metavar="ROWS", help="ids of rows, with commas or again")
    parser.add_argument("--slice", type=int, default=0, help="so many rows, chosen by the number of commits")
    parser.add_argument("--stacks", type=int, default=0, help=f"at once; by default two a core, {MOST_STACKS} at most")
    chosen = parser.parse_args(arguments)
    chosen.only = [name for words in chosen.only for name in words.replace(",", " ").split()]
    chosen.stacks = chosen.stacks or min(MOST_STACKS, 2 * (os.cpu_count() or 1))
    chosen.seed = chosen.seed or secrets.randbelow(10**6)
    if not 1 <= chosen.stacks <= MOST_STACKS:
        parser.error(f"from 1 to {MOST_STACKS} stacks run at once")
    if chosen.seeds < 0:
        parser.error("the number of seeds is 1 or more")
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen rows; return 0 only if no promise was broken."""
    chosen = _parse(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"
    import django

    django.setup()
    from tests.chaos.ci_window import choose_slice, count_commits
    from tests.chaos.parallel import run_in_parallel
    from tests.chaos.planning import plan_rows
    from tests.chaos.report import print_report, record_report
    from tests.chaos.rows import ROWS

    if unknown := set(chosen.only) - set(ROWS):
        sys.stderr.write(f"Unknown rows: {', '.join(sorted(unknown))}. There are {', '.join(ROWS)}.\n")
        return EXIT_UNFIT
    if chosen.slice:
        chosen.only = choose_slice(ROWS, size=chosen.slice, commits=count_commits())
    skipped = {name: reason for name, row in ROWS.items() if (reason := row.unfit())}
    plans = plan_rows(ROWS, only=chosen.only, without=skipped, seeds=chosen.seeds, first_seed=chosen.seed)
    runs = sum(len(plan.seeds) for plan in plans)
    sys.stdout.write(
        f"{len(plans)} rows, {runs} runs on up to {chosen.stacks} stacks; the first seed is {chosen.seed}"
        f" (again with SEED={chosen.seed})\n"
    )
    _print_skipped(skipped, chosen.only)
    if not plans:
        return EXIT_UNFIT
    with tempfile.TemporaryDirectory(prefix="jobsplatform-chaos-") as folder:
        results = run_in_parallel(plans, Path(folder), stacks=chosen.stacks, kept=KEPT)
    print_report(results)
    record_report(results)
    _print_skipped(skipped, chosen.only)
    return EXIT_VIOLATED if any(result.violations for result in results) else 0


def _print_skipped(skipped: Mapping[str, str], only: Sequence[str]) -> None:
    """Print the chosen rows that are not run, and why."""
    for name, reason in skipped.items():
        if not only or name in only:
            sys.stdout.write(f"{name}: skipped, not held: {reason}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
