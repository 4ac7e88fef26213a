"""Run the benchmarks named on the command line, by default all but `peers`.

Expects servers in DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL, as `make bench` starts them. Prints each table and
writes it to benchmarks/results/ with the machine's description. `--only PART` measures one part and keeps the last
findings of the others. The exit status is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.request_rates import raise_request_rates
from jobsplatform.demo.environment import run_folder

if TYPE_CHECKING:
    from benchmarks.harness.outcome import Outcome
    from benchmarks.harness.parts import Benchmark

# Where each is declared as BENCHMARK.
MODULES = {
    "fairness": "benchmarks.fairness.benchmark",
    "capacity": "benchmarks.capacity.benchmark",
    "workloads": "benchmarks.built_in",
    "eta": "benchmarks.eta",
    "console": "benchmarks.console",
}
PEERS = "peers"


def main() -> int:
    """Run the named benchmarks; return 0 only if every target was met."""
    parser = _parser()
    arguments = parser.parse_args()
    names = arguments.names or list(MODULES)
    if unknown := set(names) - {*MODULES, PEERS}:
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    if PEERS in names and arguments.programs is None:
        parser.error("peers: --programs is missing")
    raise_request_rates()
    with run_folder() as folder:
        # After django.setup(): these modules import models.
        from benchmarks.harness.outcome import record
        from benchmarks.harness.runner import run_benchmark
        from jobsplatform.demo.provision import migrate_database

        benchmarks: dict[str, Benchmark] = {
            name: import_module(module).BENCHMARK for name, module in MODULES.items() if name in names
        }
        parts = _part_names(benchmarks)
        if unknown := set(arguments.only) - {part for name in names for part in parts[name]}:
            parser.error(f"unknown part: {', '.join(sorted(unknown))}")
        migrate_database()
        are_met = [
            record(
                run_benchmark(benchmarks[name], folder, arguments.only)
                if name in benchmarks
                else _measure_peers(folder, arguments)
            )
            for name in names
            if not arguments.only or parts[name].intersection(arguments.only)
        ]
    return 0 if all(are_met) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join([*MODULES, PEERS])}")
    only = "a part of the named benchmarks, or a table of `peers`, alone"
    parser.add_argument("--only", action="append", default=[], metavar="PART", help=only)
    parser.add_argument("--programs", type=Path, help="the folder of the programs of `peers`")
    parser.add_argument("--rounds", type=int, default=5, help="of `peers` (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="continue the run of `peers` that was cut off")
    return parser


def _part_names(benchmarks: Mapping[str, Benchmark]) -> dict[str, set[str]]:
    """Return the values of ``--only`` by benchmark."""
    from benchmarks.peers.table import TABLES

    return {name: {part.name for part in one.parts} for name, one in benchmarks.items()} | {PEERS: set(TABLES)}


def _measure_peers(folder: Path, arguments: argparse.Namespace) -> Outcome:
    from benchmarks.peers.table import measure

    return measure(
        folder,
        programs=arguments.programs,
        rounds=arguments.rounds,
        tables=arguments.only,
        resume=arguments.resume,
    )


if __name__ == "__main__":
    sys.exit(main())
