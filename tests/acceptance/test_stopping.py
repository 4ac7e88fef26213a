"""Workers that are stopped at a critical moment, on real processes."""

from __future__ import annotations

from tenants.models import Tenant
from tests.acceptance.helpers import fetch, submit, wait_for_all
from tests.acceptance.processes import eventually
from tests.acceptance.serving import Platform


def test_worker_stops_if_sigterm_arrives_while_it_writes_to_a_child(platform: Platform, initech: Tenant) -> None:
    assert platform.worker is not None
    platform.worker.stop()
    worker = platform.start_interrupted_worker()
    jobs = submit(initech, "noop", {}, {})
    eventually(lambda: not worker.is_running, what="the worker has stopped")
    assert worker.status == 0
    platform.worker = platform.start_worker()
    wait_for_all(jobs)
    assert {(fetch(job).attempt, fetch(job).crash_count) for job in jobs} == {(0, 0)}
