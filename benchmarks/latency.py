"""Submit to start on an idle system: from the row of the job to the row of its start, by the database's clock."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from benchmarks.outcome import Outcome
from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.measures import Run, percentile
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import Participant, create_participants
from jobsplatform.demo.readings import read_runs

JOBS = 200
WARM_UP = 10
TARGET_MS = 100.0
JOB_SECONDS = 15.0
# A pause of random length before each job, so that no rhythm of the dispatcher is met or missed by plan.
PAUSE_SECONDS = (0.05, 0.3)
SEED = 20_260_101


class NotStartedError(RuntimeError):
    """A job on an idle system did not end in time."""


def measure(folder: Path) -> Outcome:
    """Submit no-op jobs one at a time through the API, each after the one before has ended."""
    participant = create_participants()[-1]
    with running_platform(folder / "latency.log") as platform:
        posts = _submit_one_by_one(platform, participant)
    runs = read_runs([participant.tenant_id])[WARM_UP:]
    return _conclude([(run.started_us - run.arrived_us) / 1e3 for run in runs], posts[WARM_UP:], runs)


def _submit_one_by_one(platform: Platform, participant: Participant) -> list[float]:
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    posts = []
    with TenantClient(platform.address, participant.token) as client:
        for _ in range(WARM_UP + JOBS):
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            begun = time.perf_counter()
            job_id = client.submit("noop", {})
            posts.append((time.perf_counter() - begun) * 1e3)
            _wait_ended(platform, client, job_id)
    return posts


def _wait_ended(platform: Platform, client: TenantClient, job_id: UUID) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        if client.read_job(job_id)["finished_at"]:
            return
        time.sleep(0.02)
    raise NotStartedError(f"Job {job_id} did not end within {JOB_SECONDS:.0f} s.\n{platform.log_tail()}")


def _conclude(waits: Sequence[float], posts: Sequence[float], runs: Sequence[Run]) -> Outcome:
    p50, p95, p99 = (percentile(waits, part) for part in (0.5, 0.95, 0.99))
    answered = [percentile(posts, part) for part in (0.5, 0.95, 0.99)]
    ended = [(run.ended_us - run.arrived_us) / 1e3 for run in runs]
    return Outcome(
        name="latency",
        title="Latency on an idle system",
        rows=[
            ["milliseconds", "p50", "p95", "p99"],
            ["submit to start", f"{p50:.1f}", f"{p95:.1f}", f"{p99:.1f}"],
            ["submit to completed", *(f"{percentile(ended, part):.1f}" for part in (0.5, 0.95, 0.99))],
            ["POST /api/v1/jobs/ answered", *(f"{value:.1f}" for value in answered)],
        ],
        target=f"submit to start p95 at most {TARGET_MS:.0f} ms",
        is_met=p95 <= TARGET_MS,
        method=(
            f"{JOBS} `noop` jobs after {WARM_UP} to warm up, submitted through the API one at a time with random "
            "pauses, while web, dispatcher, worker and beat run as in production. Submission and start are rows, so "
            "both times are the database's; the answer of POST is timed at the client."
        ),
    )
