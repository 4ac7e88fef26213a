"""A separate process that submits jobs at a mean rate, as the load during a measurement."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import django

from benchmarks.harness.parts import MeasureFailedError

# Submissions per second, unless the number of jobs of each is given.
BEATS = 10
SEED = 20_261_126


@contextmanager
def writing(rate: float, slugs: Sequence[str], *, each: int | None = None) -> Iterator[Callable[[], float]]:
    """Submit jobs of these tenants while the block runs, ``each`` of them in a submission.

    Yield a function that returns the jobs per second so far, and raises `MeasureFailedError` if the process has ended.
    """
    context = get_context("spawn")
    written = context.Value("d", 0.0)
    arguments = (rate, each or max(1, round(rate / BEATS)), list(slugs), written)
    process = context.Process(target=_write, args=arguments, daemon=True)
    process.start()

    def read_rate() -> float:
        if not process.is_alive():
            raise MeasureFailedError(f"The process that writes jobs has ended with status {process.exitcode}.")
        return float(written.value)

    try:
        yield read_rate
    finally:
        process.terminate()
        process.join()


def _write(rate: float, each: int, slugs: Sequence[str], written: Any) -> None:
    """Submit jobs at random times like many independent clients, however long a submission takes."""
    django.setup()
    from scheduling.jobs.requests import JobRequest
    from scheduling.jobs.submission import submit_jobs
    from tenants.context import acting_as, all_tenants, command_actor
    from tenants.models import Tenant

    with all_tenants():
        tenants = list(Tenant.objects.filter(slug__in=slugs).select_related("plan"))
    chance = random.Random(SEED)  # noqa: S311 - arrivals, not secrets
    requests = [JobRequest(kind="noop", payload={}) for _ in range(each)]
    began, jobs, due = time.monotonic(), 0, 0.0
    with acting_as(command_actor("benchmark")):
        while True:
            submit_jobs(tenant=chance.choice(tenants), requests=requests)
            jobs += each
            written.value = jobs / (time.monotonic() - began)
            due += chance.expovariate(rate / each)
            time.sleep(max(0.0, began + due - time.monotonic()))
