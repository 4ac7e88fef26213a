"""Clients that wait at the ASGI server: many of them, and hardly a database connection among them."""

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
from tests.acceptance.acts import submit, wait_for
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.databases import TestDatabase, connect_as_owner
from tests.keys import issue_api_key

CLIENTS = 40
WAIT_SECONDS = 30
# Whoever looks again holds a connection for that moment only, and they do not all look at once.
MOST_CONNECTIONS = CLIENTS // 2
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
NAME = "streams"


def test_many_clients_wait_for_a_jobs_end_and_hold_no_connection(
    platform: Platform, acceptance_database: TestDatabase, acme: Tenant
) -> None:
    port = free_port()
    streams = platform.start_streams(port, WAITS_PER_PROCESS=str(CLIENTS), PGAPPNAME=NAME)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="streams answers")
    token = issue_api_key(tenant=acme, name="waiting").token
    # It ends by being cancelled, once everybody has been seen to wait.
    [job] = submit(acme, "sleep", {"seconds": 120})
    wait_for(job, "executing")

    with ThreadPoolExecutor(CLIENTS) as clients, connect_as_owner(acceptance_database.name) as owner:
        answers = [clients.submit(wait_for_log, port, token, job) for _ in range(CLIENTS)]
        eventually(lambda: threads_of(streams.pid) > CLIENTS, what="everybody waits")
        try:
            # Each looks at once when it comes, and seldom after that.
            eventually(
                lambda: usual_connections(owner, acceptance_database.name) <= MOST_CONNECTIONS,
                within=WAIT_SECONDS / 2,
                what="those who wait hold hardly a connection",
            )
        finally:
            with tenant_context(acme):
                cancel_jobs(job_ids=[job.pk])
        finished = [answer.result(timeout=60) for answer in answers]

    assert {answer["job_state"] for answer in finished} == {"cancelled"}
    assert all(answer["is_final"] for answer in finished)


def wait_for_log(port: int, token: str, job: Job) -> dict[str, Any]:
    """The answer to a long poll that nothing but the job's end ends before its time."""
    address = f"http://127.0.0.1:{port}/api/v1/jobs/{job.pk}/logs/?wait={WAIT_SECONDS}&level=error"
    asked = Request(address, headers={"Authorization": f"Api-Key {token}", "Host": "localhost"})
    with urlopen(asked, timeout=60) as answer:
        answered: dict[str, Any] = json.load(answer)
    return answered


def threads_of(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


def usual_connections(owner: Any, database: str, name: str = NAME) -> int:
    """The median of many looks, so that one moment in which many look again proves nothing."""
    return sorted(count(owner, database, name) for _ in range(50))[25]


def count(owner: Any, database: str, name: str) -> int:
    return int(owner.execute(WAITING, [database, name]).fetchone()[0])
