"""Run the benchmarks named on the command line, by default all but `peers`.

It expects servers in DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL, as `make bench` starts them. It prints each table
and writes it to benchmarks/results/ with the machine's description. `--only PART` measures one part and keeps the last
findings of the others. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from benchmarks import raise_request_rates
from jobsplatform.demo.environment import run_folder

PEERS, PEERS_PROGRAMS = "peers", "PEER_PROGRAMS"
# The modules that declare a BENCHMARK.
MODULES = {
    "fairness": "benchmarks.fairness.benchmark",
    "capacity": "benchmarks.capacity.benchmark",
    "workloads": "benchmarks.built_in",
    "eta": "benchmarks.eta",
    "logs": "benchmarks.logs",
    "anomalies": "benchmarks.anomalies",
    "causes": "benchmarks.causes.benchmark",
    "heat_map": "benchmarks.heat_map",
    "alerts": "benchmarks.alerts",
    "load": "benchmarks.load",
    "backup": "benchmarks.backup",
    "evidence": "benchmarks.evidence",
    "controls": "benchmarks.controls",
    "sealing": "benchmarks.sealing",
    "neighbour": "benchmarks.neighbour",
    "console": "benchmarks.console.benchmark",
    PEERS: "benchmarks.peers.benchmark",
}


def main() -> int:
    """Run the named benchmarks; return 0 only if every target was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MODULES)}")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="a part of the named benchmarks")
    arguments = parser.parse_args()
    names = arguments.names or [name for name in MODULES if name != PEERS]
    if unknown := set(names) - set(MODULES):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    if PEERS in names and PEERS_PROGRAMS not in os.environ:
        parser.error(f"{PEERS}: {PEERS_PROGRAMS} is not set; run `make bench-peers`")
    raise_request_rates()
    os.environ.setdefault("DIAGNOSTIC_KINDS", "true")
    with run_folder() as folder:
        # After django.setup(), because these modules import models.
        from benchmarks.harness.outcome import record
        from benchmarks.harness.runner import run_benchmark
        from jobsplatform.demo.provision import migrate_database

        benchmarks = [import_module(MODULES[name]).BENCHMARK for name in names]
        parts = {part.name for benchmark in benchmarks for part in benchmark.parts}
        if unknown := set(arguments.only) - parts:
            parser.error(f"unknown part: {', '.join(sorted(unknown))}")
        migrate_database()
        are_met = [
            record(run_benchmark(benchmark, folder, arguments.only))
            for benchmark in benchmarks
            if not arguments.only or any(part.name in arguments.only for part in benchmark.parts)
        ]
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    sys.exit(main())
