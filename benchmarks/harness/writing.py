"""Write jobs at a mean rate until stopped: the load beside something that is measured.

`python -m benchmarks.harness.writing RATE EACH SLUG [SLUG …]`: each submission is of EACH jobs of one tenant, and the
times between two of them are exponential, as of many independent clients.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobsplatform.demo.environment import run_folder

ROOT = Path(__file__).resolve().parents[2]
# Submissions per second, unless the number of jobs of each is given.
BEATS = 10
SEED = 20_261_126


def main() -> None:
    """Write jobs at the due times however long writing takes, and print the rate after each submission."""
    rate, each, slugs = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    with run_folder():
        from scheduling.services.job_requests import JobRequest
        from scheduling.services.submission import submit_jobs
        from tenants.context import acting_as, all_tenants, command_actor
        from tenants.models import Tenant

        with all_tenants():
            tenants = list(Tenant.objects.filter(slug__in=slugs).select_related("plan"))
        chance = random.Random(SEED)  # noqa: S311 - arrivals, not secrets
        requests = [JobRequest(kind="noop", payload={}) for _ in range(each)]
        began, written, due = time.monotonic(), 0, 0.0
        with acting_as(command_actor("benchmark")):
            while True:
                submit_jobs(tenant=chance.choice(tenants), requests=requests)
                written += each
                sys.stdout.write(f"{written / (time.monotonic() - began):.0f}\n")
                sys.stdout.flush()
                due += chance.expovariate(rate / each)
                time.sleep(max(0.0, began + due - time.monotonic()))


class Writer:
    """The process that writes, and its rate so far."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def rate(self) -> float:
        """Return the jobs per second since it began. Raise RuntimeError if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"The writer has ended:\n{self._log.read_text(encoding='utf-8')[-2_000:]}")
        lines = self._log.read_text(encoding="utf-8").split()
        return float(lines[-1]) if lines and lines[-1].isdigit() else 0.0


@contextmanager
def writing(rate: float, slugs: Sequence[str], folder: Path, *, each: int | None = None) -> Iterator[Writer]:
    """Write jobs of these tenants in a process of its own while the block runs."""
    size = each or max(1, round(rate / BEATS))
    log = folder / "job_writer.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "benchmarks.harness.writing", str(rate), str(size), *slugs],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Writer(process, log)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
