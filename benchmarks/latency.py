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
PARTS = (0.5, 0.95, 0.99)
JOB_SECONDS = 15.0
# A pause of random length after each job, so that no rhythm of the dispatcher is met or missed by plan, and so
# long that the benchmark's own look at the job does not disturb what it measures.
PAUSE_SECONDS = (0.3, 0.5)
LOOK_SECONDS = 0.1
SEED = 20_260_101


class NotStartedError(RuntimeError):
    """A job on an idle system did not end in time."""


def measure(folder: Path) -> Outcome:
    """Submit no-op jobs one at a time through the API, each after the one before has ended."""
    participant = create_participants()[-1]
    with running_platform(folder / "latency.log") as platform:
        posts = _submit_one_by_one(platform, participant)
    runs = read_runs([participant.tenant_id])[WARM_UP:]
    return _conclude(runs, posts[WARM_UP:])


def _submit_one_by_one(platform: Platform, participant: Participant) -> list[float]:
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    posts = []
    with TenantClient(platform.address, participant.token) as client:
        for _ in range(WARM_UP + JOBS):
            begun = time.perf_counter()
            job_id = client.submit("noop", {})
            posts.append((time.perf_counter() - begun) * 1e3)
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            _wait_ended(platform, client, job_id)
    return posts


def _wait_ended(platform: Platform, client: TenantClient, job_id: UUID) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        if client.read_job(job_id)["finished_at"]:
            return
        time.sleep(LOOK_SECONDS)
    raise NotStartedError(f"Job {job_id} did not end within {JOB_SECONDS:.0f} s.\n{platform.log_tail()}")


def _conclude(runs: Sequence[Run], posts: Sequence[float]) -> Outcome:
    times = {
        "submit to dispatched": [(run.ended_us - run.held_us - run.arrived_us) / 1e3 for run in runs],
        "dispatched to started": [(run.started_us - run.ended_us + run.held_us) / 1e3 for run in runs],
        "**submit to started**": [(run.started_us - run.arrived_us) / 1e3 for run in runs],
        "submit to completed": [(run.ended_us - run.arrived_us) / 1e3 for run in runs],
        "POST /api/v1/jobs/ answered": posts,
    }
    p95 = percentile(times["**submit to started**"], 0.95)
    return Outcome(
        name="latency",
        title="Latency on an idle system",
        rows=[
            ["milliseconds", *(f"p{part:.0%}".rstrip("%") for part in PARTS)],
            *([name, *(f"{percentile(values, part):.1f}" for part in PARTS)] for name, values in times.items()),
        ],
        target=f"submit to started p95 at most {TARGET_MS:.0f} ms",
        is_met=p95 <= TARGET_MS,
        method=(
            f"{JOBS} `noop` jobs after {WARM_UP} to warm up, submitted through the API one at a time with random "
            "pauses, while web, dispatcher, worker and beat run as in production. Submission and start are rows, so "
            "both times are the database's; the answer of POST is timed at the client."
        ),
    )
