"""Run the soak: `python -m benchmarks.soak --minutes 10 [--seed 1]`, on the servers of `make soak`.

Prints its page and writes it to benchmarks/results/soak.md. The exit status is 1 when a job was lost, when a proof
objects or when something grows.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.request_rates import raise_request_rates
from jobsplatform.demo.environment import run_folder

# With less, no process is seen long enough after its first minute.
LEAST_MINUTES = 6.0
DEFAULT_MINUTES = 10.0
# They stay for whoever looks into a violation, until the next run.
LOGS = Path(__file__).resolve().parent.parent.parent / "var" / "soak"


def main() -> int:
    """0 only if nothing was lost and nothing grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="of load and faults (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the order of faults (%(default)s)")
    arguments = parser.parse_args()
    if arguments.minutes < LEAST_MINUTES:
        parser.error(f"a soak takes {LEAST_MINUTES:g} minutes at least")
    raise_request_rates()
    with run_folder():
        # After django.setup(): these modules import models.
        from benchmarks.outcome import record
        from benchmarks.soak.report import report
        from benchmarks.soak.run import soak
        from jobsplatform.demo.provision import migrate_database

        migrate_database()
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir(parents=True)
        is_met = record(report(soak(LOGS, minutes=arguments.minutes, seed=arguments.seed)))
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
