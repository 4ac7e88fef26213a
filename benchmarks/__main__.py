"""Run the benchmarks named on the command line, all by default.

`python -m benchmarks [recall eta …]`. Expects servers in DATABASE_URL, DATABASE_OWNER_URL
and REDIS_URL, as `make bench` starts them. Each prints its result and writes it to benchmarks/results/ with the
machine's description. The exit status is 1 when a target is missed. `fairness --only quiet_tenant` measures one part
of that table and keeps what was measured of the others.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks.request_rates import raise_request_rates
from jobsplatform.demo.environment import run_folder

NAMES = ("recall", "fairness", "eta", "cycle", "submission")
# Long ones, which run only when they are named.
NAMED_ALONE = ("workloads", "console", "peers", "scale", "capacity")


def main() -> int:
    """Run what was asked for; 0 only if every target was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES + NAMED_ALONE)}")
    only = "a part of `fairness` or a table of `peers` alone"
    parser.add_argument("--only", action="append", default=[], metavar="PART", help=only)
    parser.add_argument("--programs", type=Path, help="the folder of the programs of `peers`")
    parser.add_argument("--rounds", type=int, default=5, help="of `peers` (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the run of `peers` that was cut off")
    parser.add_argument("--past", type=int, default=1_000_000, help="ended jobs of `scale`, at most (%(default)s)")
    arguments = parser.parse_args()
    names = arguments.names or list(NAMES)
    if "peers" in names and arguments.programs is None:
        parser.error("peers: --programs is missing")
    if unknown := set(names) - set(NAMES) - set(NAMED_ALONE):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    raise_request_rates()
    with run_folder() as folder:
        # After django.setup(): these modules import models.
        from benchmarks import built_in, capacity, console, cycle, eta, recall, scale, submission
        from benchmarks.fairness.benchmark import BENCHMARK as FAIRNESS
        from benchmarks.harness.outcome import record
        from benchmarks.harness.runner import run_benchmark
        from benchmarks.peers import table as peers
        from jobsplatform.demo.provision import migrate_database

        measures = {
            "recall": recall.measure,
            "fairness": lambda place: run_benchmark(FAIRNESS, place, arguments.only),
            "eta": eta.measure,
            "cycle": cycle.measure,
            "workloads": built_in.measure,
            "console": console.measure,
            "peers": partial(
                peers.measure,
                programs=arguments.programs,
                rounds=arguments.rounds,
                tables=arguments.only,
                resume=arguments.resume,
            ),
            "scale": partial(scale.measure, past=arguments.past),
            "submission": submission.measure,
            "capacity": capacity.measure,
        }
        if unknown_parts := set(arguments.only) - {part.name for part in FAIRNESS.parts} - set(peers.TABLES):
            parser.error(f"unknown part: {', '.join(sorted(unknown_parts))}")
        migrate_database()
        outcomes = [record(measures[name](folder)) for name in names]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
