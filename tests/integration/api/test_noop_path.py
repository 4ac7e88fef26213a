"""The files of the project that one no-op job passes, from its POST until its rollup."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from uuid import UUID

from rest_framework.test import APIClient

from jobsplatform.settings.env import BASE_DIR
from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.jobs.lifecycle import JobState
from scheduling.models import Job, LiveExecution, WorkerPool
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tests.integration.api.test_jobs import JOBS
from tests.integration.scheduling.conftest import own_channel  # noqa: F401 - a fixture
from tests.integration.scheduling.worker.conftest import local  # noqa: F401 - a fixture
from tools.code_metrics import NOOP_PATH_FILE, PACKAGES

# The number may fall, and this one with it. One of them guards fair tasks, where other tests have defined some.
MOST_FILES = 83
FOLDERS = tuple(f"{BASE_DIR / package}/" for package in PACKAGES)


@contextmanager
def called_files() -> Iterator[set[str]]:
    """Yield a set that receives the product's files in which the block calls a function of this thread."""
    called: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(FOLDERS):
            called.add(frame.f_code.co_filename.removeprefix(f"{BASE_DIR}/"))

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


def pass_job(client: APIClient, worker: LocalWorker) -> dict[str, set[str]]:
    """Submit a no-op job, dispatch, execute and roll it up; return the files of each leg."""
    pool_id = WorkerPool.objects.get(name="default").pk
    legs: dict[str, set[str]] = {}

    def run[T](leg: str, act: Callable[[], T]) -> T:
        with called_files() as legs[leg]:
            return act()

    answer = run("submit", lambda: client.post(JOBS, {"kind": "noop"}))
    assert answer.status_code == 201
    run("dispatch", lambda: run_tick(pool_id))
    with all_tenants():
        live = LiveExecution.objects.get(job_id=UUID(answer.json()["id"]))
    run("execute", lambda: execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=worker))
    run("fold", lambda: run_tick(pool_id))
    with all_tenants():
        assert Job.objects.get(pk=live.job_id).state == JobState.COMPLETED
    return legs


def test_path_of_a_warm_noop_job_is_written_for_code_metrics(
    local: LocalWorker,  # noqa: F811
    acme_api: APIClient,
) -> None:
    pass_job(acme_api, local)
    # A cache may expire during a pass on a slow machine: use the shorter of two passes.
    legs = min((pass_job(acme_api, local) for _ in range(2)), key=lambda legs: len(set().union(*legs.values())))
    files = set().union(*legs.values())
    assert all(legs.values())
    assert len(files) <= MOST_FILES
    path = BASE_DIR / NOOP_PATH_FILE
    path.parent.mkdir(exist_ok=True)
    numbers = {leg: len(called) for leg, called in legs.items()}
    path.write_text(json.dumps({"files": len(files), "of_legs": numbers, "names": sorted(files)}, indent=1))
