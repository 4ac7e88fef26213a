"""Soak test of alerts: twelve faults, and dispatchers that are killed all the time.

`python -m tests.chaos.alert_soak --minutes 60 [--seed 1]`. It prints its page and writes it to
benchmarks/results/alerts_soak.md. The exit status is 1 if an alert was lost or notified twice.
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

LEAST_MINUTES, DEFAULT_MINUTES = 12.0, 60.0
# The logs of a failed run are kept until the next run.
KEPT = Path(__file__).resolve().parents[3] / "var" / "alerts_soak"


def main() -> int:
    """Run the soak test; return 0 only if no alert was lost or notified twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.alert_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="of load and faults (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the kills (%(default)s)")
    arguments = parser.parse_args()
    if arguments.minutes < LEAST_MINUTES:
        parser.error(f"a soak takes {LEAST_MINUTES:g} minutes at least")
    signal.signal(signal.SIGTERM, exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="jobsplatform-alerts-") as name:
        return _run(Path(name), minutes=arguments.minutes, seed=arguments.seed)


def _run(folder: Path, *, minutes: float, seed: int) -> int:
    from tests.chaos.servers import LOGS, Addresses, copy_blueprint, make_blueprint

    make_blueprint(folder / "blueprint")
    copy_blueprint(folder / "blueprint", folder / "soak")
    addresses = Addresses.choose(folder / "soak")
    os.environ.update(addresses.environment() | {"LOG_LEVEL": "WARNING"})
    import django

    django.setup()
    from benchmarks.harness.outcome import describe_load, describe_machine, record, today
    from tests.chaos.alert_soak.proof import Soak, find_faults, report
    from tests.chaos.alert_soak.run import Run
    from tests.chaos.stack import Shape, Stack

    soak, stack = Soak(minutes, seed), Stack(addresses, Shape(workers=1, dispatchers=2))
    try:
        stack.start_servers()
        stack.start_processes()
        run = Run(stack, soak)
        run.live()
        soak.violations += find_faults(soak, stack)
        measured_on = f"Measured on {today()}: {describe_machine()}; {describe_load()}."
    finally:
        stack.stop()
    for message in soak.messages:
        alerts = ", ".join(f"{one.object} {one.state}" for one in message.reported)
        sys.stdout.write(f"{message.at - soak.began_at:7.1f} s  {message.id[-6:]}  {alerts}\n")
    shutil.rmtree(KEPT, ignore_errors=True)
    if soak.violations:
        shutil.copytree(folder / "soak" / LOGS, KEPT)
    return 0 if record(report(soak, measured_on)) else 1


if __name__ == "__main__":
    sys.exit(main())
