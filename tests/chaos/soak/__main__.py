"""Soak test: `python -m tests.chaos.soak --minutes 10 [--seed 1]`.

Prints its page and writes it to benchmarks/results/soak.md. The exit status is 1 if a promise is broken, a check finds
a difference or something grows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.single_row import exit_on_signal

# With less, no process is observed long enough after its first minute.
LEAST_MINUTES = 6.0
DEFAULT_MINUTES = 10.0
# The logs of a failed run are kept until the next run.
KEPT = Path(__file__).resolve().parents[3] / "var" / "soak"


def main() -> int:
    """Run the soak test; return 0 only if no promise was broken and nothing grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="of load and faults (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the order of faults (%(default)s)")
    arguments = parser.parse_args()
    if arguments.minutes < LEAST_MINUTES:
        parser.error(f"a soak takes {LEAST_MINUTES:g} minutes at least")
    signal.signal(signal.SIGTERM, exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="jobsplatform-soak-") as name:
        return _run(Path(name), minutes=arguments.minutes, seed=arguments.seed)


def _run(folder: Path, *, minutes: float, seed: int) -> int:
    from tests.chaos.servers import LOGS, Addresses, copy_blueprint, make_blueprint

    make_blueprint(folder / "blueprint")
    own = folder / "soak"
    copy_blueprint(folder / "blueprint", own)
    addresses = Addresses.choose(own)
    # The processes log more: their logs are kept.
    os.environ.update(addresses.environment() | {"LOG_LEVEL": "WARNING"})
    import django

    django.setup()
    from benchmarks.harness.outcome import record
    from tests.chaos.results import HISTORY
    from tests.chaos.soak.report import report
    from tests.chaos.soak.run import soak
    from tests.chaos.soak.stack import SoakStack

    found = soak(SoakStack(addresses), minutes=minutes, seed=seed)
    for violation in found.violations:
        sys.stdout.write(f"{violation}\n")
    outcome = report(found)
    shutil.rmtree(KEPT, ignore_errors=True)
    if not outcome.is_met:
        shutil.copytree(own / LOGS, KEPT / LOGS)
        if (own / HISTORY).exists():
            shutil.copy2(own / HISTORY, KEPT / HISTORY)
    return 0 if record(outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
