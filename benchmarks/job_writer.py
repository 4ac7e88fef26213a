"""Writes jobs at a steady rate until it is stopped: what happens beside pages that are measured.

`python -m benchmarks.job_writer RATE SLUG [SLUG …]`
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobsplatform.demo.environment import run_folder

ROOT = Path(__file__).resolve().parent.parent
# So many submissions a second, each of several jobs.
BEATS = 10


def main() -> None:
    """Write by the clock, and not by how long writing takes; say each second how many there are."""
    rate, slugs = int(sys.argv[1]), sys.argv[2:]
    with run_folder():
        from scheduling.services.job_requests import JobRequest
        from scheduling.services.submission import submit_jobs
        from tenants.context import acting_as, all_tenants, command_actor, tenant_context
        from tenants.models import Tenant

        with all_tenants():
            tenants = list(Tenant.objects.filter(slug__in=slugs))
        began, written = time.monotonic(), 0
        requests = [JobRequest(kind="noop", payload={}) for _ in range(rate // BEATS)]
        while True:
            tenant = tenants[written // len(requests) % len(tenants)]
            with acting_as(command_actor("benchmark")), tenant_context(tenant):
                submit_jobs(tenant=tenant, requests=requests)
            written += len(requests)
            sys.stdout.write(f"{written / (time.monotonic() - began):.0f}\n")
            sys.stdout.flush()
            time.sleep(max(0.0, began + written / rate - time.monotonic()))


class Writer:
    """The process, and how fast it has written so far."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def rate(self) -> float:
        """Jobs a second since it began; it must still be writing."""
        if self._process.poll() is not None:
            raise RuntimeError(f"The writer has ended:\n{self._log.read_text(encoding='utf-8')[-2_000:]}")
        lines = self._log.read_text(encoding="utf-8").split()
        return float(lines[-1]) if lines and lines[-1].isdigit() else 0.0


@contextmanager
def writing(rate: int, slugs: Sequence[str], folder: Path) -> Iterator[Writer]:
    """Write jobs of these tenants in a process of its own."""
    log = folder / "job_writer.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "benchmarks.job_writer", str(rate), *slugs],
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
