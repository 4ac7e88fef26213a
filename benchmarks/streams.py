"""Streams: how long after its commit an event reaches each of many clients, and how many connections that takes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
from django.db import connection

from benchmarks.outcome import Outcome
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.provision import ACTOR, Participant, create_participants
from jobsplatform.embedded.identity import die_with_parent
from scheduling.limits import STREAMS
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_job
from tenants.context import acting_as, all_tenants
from tenants.models import Tenant
from tenants.selectors.tenants import find_tenant
from tenants.services.limits import set_tenant_limit

CLIENTS = 300
EVENTS = 100
PAUSE_SECONDS = (0.05, 0.25)
SEED = 20_260_301
TARGET_MS, MOST_CONNECTIONS = 250.0, 20
PARTS = (0.5, 0.95, 0.99)
NAME = "streams benchmark"
START_SECONDS, STOP_SECONDS, HEARD_SECONDS = 120.0, 5.0, 300.0


@dataclass(slots=True)
class Heard:
    """When which client heard of which job, by this machine's clock."""

    ready: int = 0
    times: dict[str, list[float]] = field(default_factory=dict)


class StreamsFailedError(RuntimeError):
    """The clients did not connect, or did not hear everything."""


def measure(folder: Path) -> Outcome:
    """Submit jobs that nobody runs, one at a time, while many clients listen to their tenant's stream."""
    participant = create_participants()[-1]
    tenant = find_tenant(participant.slug)
    set_tenant_limit(tenant=tenant, key=STREAMS.key, value=CLIENTS, reason="All clients are one tenant's.")
    with serving_streams(folder / "streams.log") as port:
        lags, connections = asyncio.run(_listen_and_submit(port, participant))
    return _conclude(lags, connections)


async def _listen_and_submit(port: int, participant: Participant) -> tuple[list[float], list[int]]:
    heard = Heard()
    clients = [asyncio.create_task(_listen(port, participant.token, heard)) for _ in range(CLIENTS)]
    try:
        await _until(lambda: heard.ready == CLIENTS, "not everybody was connected")
        committed, connections = await asyncio.to_thread(_submit, participant.tenant_id)
        await _until(
            lambda: all(len(heard.times.get(job, ())) == CLIENTS for job in committed), "not everybody heard everything"
        )
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    lags = [(at - committed[job]) * 1e3 for job, times in heard.times.items() for at in times]
    return lags, connections


async def _listen(port: int, token: str, heard: Heard) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /api/v1/jobs/stream/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key {token}\r\n\r\n"
    writer.write(head.encode())
    try:
        while line := await reader.readline():
            if line.startswith(b"event: ready"):
                heard.ready += 1
            elif line.startswith(b'data: {"id"'):
                told = json.loads(line.removeprefix(b"data: "))
                heard.times.setdefault(told["job"], []).append(time.time())
    finally:
        writer.close()


def _submit(tenant_id: UUID) -> tuple[dict[str, float], list[int]]:
    """When each job was committed, and how many connections there were at each."""
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
    committed, connections = {}, []
    for _ in range(EVENTS):
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        with acting_as(ACTOR):
            job = submit_job(tenant=tenant, request=JobRequest(kind="noop")).job
        committed[str(job.pk)] = time.time()
        connections.append(_count_connections())
    connection.close()
    return committed, connections


def _count_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [NAME])
        return int(cursor.fetchone()[0])


async def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + HEARD_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise StreamsFailedError(otherwise)
        await asyncio.sleep(0.05)


def serving_streams(log: Path) -> AbstractContextManager[int]:
    """The ASGI server as an operator starts it, on a free port."""
    return _serving(["uvicorn", "--port={port}", "--no-access-log", "--http=h11", "jobsplatform.asgi:application"], log)


def serving_pages(log: Path) -> AbstractContextManager[int]:
    """The web server as `run_platform` starts it, on a free port."""
    bound = ["--bind=127.0.0.1:{port}", "--workers=2", "--threads=4"]
    return _serving(["gunicorn", *bound, "jobsplatform.wsgi:application"], log)


@contextmanager
def _serving(module: Sequence[str], log: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", *(part.format(port=port) for part in module)]
    environment = os.environ | {"PGAPPNAME": NAME, "STREAMS_PER_CALLER": str(CLIENTS)}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
        )
    try:
        _wait_ready(process, port, log)
        yield port
    finally:
        # The web server's own processes go with it.
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/live", headers={"Host": "localhost"}).is_success:
                return
        except httpx.TransportError:
            pass  # not yet
        time.sleep(0.1)
    raise StreamsFailedError(f"The server did not start.\n{log.read_text()[-2_000:]}")


def _conclude(lags: Sequence[float], connections: Sequence[int]) -> Outcome:
    p95, most = percentile(lags, 0.95), max(connections)
    return Outcome(
        name="streams",
        title=f"Streams with {CLIENTS} clients",
        rows=[
            ["", *(f"p{part:.0%}".rstrip("%") for part in PARTS), "most"],
            ["lag, ms", *(f"{percentile(lags, part):.0f}" for part in PARTS), f"{max(lags):.0f}"],
            ["connections", *(f"{percentile(connections, part):.0f}" for part in PARTS), str(most)],
        ],
        target=f"lag p95 at most {TARGET_MS:.0f} ms, at most {MOST_CONNECTIONS} connections",
        is_met=p95 <= TARGET_MS and most <= MOST_CONNECTIONS,
        method=(
            f"{CLIENTS} clients of one process listen to their tenant's stream while {EVENTS} jobs are submitted one "
            "at a time with random pauses. A lag is from the return of the submission, whose transaction is committed "
            "then, to the line at the client, by one machine's clock; clients, server and database share it."
        ),
    )
