"""Long polls at the ASGI server: many clients, and few database connections."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.databases import TestDatabase, connect_as_owner
from tests.keys import issue_api_key

CLIENTS = 40
WAIT_SECONDS = 30
# A client that polls again holds a connection only briefly, and they do not poll simultaneously.
MOST_CONNECTIONS = CLIENTS // 2
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
NAME = "streams"


def test_long_polls_of_many_clients_hold_no_connection(
    platform: Platform, acceptance_database: TestDatabase, acme: Tenant
) -> None:
    port = free_port()
    streams = platform.start_streams(port, WAITS_PER_PROCESS=str(CLIENTS), PGAPPNAME=NAME)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="streams answers")
    token = issue_api_key(tenant=acme, name="waiting").token
    # Cancelled once every client is seen to wait.
    [job] = submit(acme, "sleep", {"seconds": 120})
    wait_for(job, "executing")

    with ThreadPoolExecutor(CLIENTS) as clients, connect_as_owner(acceptance_database.name) as owner:
        answers = [clients.submit(wait_for_log, port, token, job) for _ in range(CLIENTS)]
        eventually(lambda: threads_of(streams.pid) > CLIENTS, what="every client waits")
        try:
            # Each queries once when it connects, and rarely after that.
            eventually(
                lambda: median_connections(owner, acceptance_database.name) <= MOST_CONNECTIONS,
                within=WAIT_SECONDS / 2,
                what="waiting clients hold few connections",
            )
        finally:
            with tenant_context(acme):
                cancel_jobs(job_ids=[job.pk])
        finished = [answer.result(timeout=60) for answer in answers]

    assert {answer["job_state"] for answer in finished} == {"cancelled"}
    assert all(answer["is_final"] for answer in finished)


def wait_for_log(port: int, token: str, job: Job) -> dict[str, Any]:
    """Return the response of a long poll that ends with the job or after its time."""
    address = f"http://127.0.0.1:{port}/api/v1/jobs/{job.pk}/logs/?wait={WAIT_SECONDS}&level=error"
    asked = Request(address, headers={"Authorization": f"Api-Key {token}", "Host": "localhost"})
    with urlopen(asked, timeout=60) as answer:
        answered: dict[str, Any] = json.load(answer)
    return answered


def threads_of(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


def median_connections(owner: Any, database: str, name: str = NAME) -> int:
    """Return the median of many samples, so that one simultaneous poll does not matter."""
    return sorted(count(owner, database, name) for _ in range(50))[25]


def count(owner: Any, database: str, name: str) -> int:
    return int(owner.execute(WAITING, [database, name]).fetchone()[0])
