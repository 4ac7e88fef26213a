"""Jobs accepted per second: by the service in bulk, by HTTP in bulk, and by HTTP one by one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from subprocess import Popen
from typing import Any

import django
import httpx

from benchmarks.harness.filling import analyse, ask
from benchmarks.harness.jobs import verify_platform
from benchmarks.harness.parts import Finding, at_least, shown
from benchmarks.harness.processes import Processes, seconds_of_family, seconds_of_postgresql
from jobsplatform.demo.processes import HOST, free_port
from jobsplatform.demo.provision import ACTOR
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from tenants.access.api_keys import issue_api_key
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import acting_as, all_tenants
from tenants.models import Plan, PlanLimit, Tenant
from tenants.tenancy.service import create_tenant

# The placeholder in a request for its idempotency key, which must be new each time.
KEY_MARK = b"{{idempotency-key}}"
BULK, PAYLOAD = 1_000, {"seconds": 0.01}


@dataclass(frozen=True, slots=True)
class Submitted:
    """The submissions of one process: jobs, start and end by the clock, and processor seconds."""

    jobs: int
    began: float
    ended: float
    processor: float


@contextmanager
def submitting(
    submit: Callable[..., int], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[Callable[[float], list[Submitted]]]:
    """Yield a function that calls ``submit(amount, *arguments)`` in a concurrent process for each of the arguments."""
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), django.setup)) for _process in arguments
        ]

        def run(amount: float) -> list[Submitted]:
            running = [pool.submit(_measure, submit, amount, *own) for pool, own in zip(pools, arguments, strict=True)]
            return [one.result() for one in running]

        yield run


def submit_by_service(jobs: float, slug: str) -> int:
    """Submit so many jobs of one tenant in bulk; return how many were accepted."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(slug=slug)
    accepted = 0
    for _ in range(int(jobs) // BULK):
        requests = [JobRequest(kind="sleep", payload=PAYLOAD) for _ in range(BULK)]
        with acting_as(ACTOR):
            accepted += len(submit_jobs(tenant=tenant, requests=requests, is_rate_limited=True).accepted)
    return accepted


def submit_by_http(seconds: float, host: str, port: int, requests: Sequence[str], jobs: int) -> int:
    """Send each request repeatedly on a connection of its own; return how many jobs were accepted."""

    async def send_all() -> int:
        until = time.monotonic() + seconds
        sending = [
            _send(host, port, request.encode(), jobs, f"{time.time():.6f}-{number:02d}".encode(), until)
            for number, request in enumerate(requests)
        ]
        return sum(await asyncio.gather(*sending))

    return asyncio.run(send_all())


async def _send(host: str, port: int, request: bytes, jobs: int, key: bytes, until: float) -> int:
    """Send the request again after each response, with a new key each time."""
    reader, writer = await asyncio.open_connection(host, port)
    accepted = 0
    while time.monotonic() < until:
        writer.write(request.replace(KEY_MARK, b"%s-%07d" % (key, accepted)))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length_of(head))
        if b" 201 " not in head[:20] or (jobs > 1 and not body.rstrip().endswith(b'"rejected":[]}')):
            raise RuntimeError(f"A submission was refused: {head!r}{body[:2_000]!r}")
        accepted += jobs
    writer.close()
    return accepted


def _length_of(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def _measure(submit: Callable[..., int], amount: float, *arguments: Any) -> Submitted:
    began, processor = time.time(), time.process_time()
    jobs = submit(amount, *arguments)
    return Submitted(jobs, began, time.time(), time.process_time() - processor)


SECONDS, SERVICE_JOBS = 15.0, 60_000
WARM_UP_SECONDS, WARM_UP_JOBS = 2.0, 3 * BULK
TENANTS, BULK_CONNECTIONS, SINGLE_CONNECTIONS = 4, 4, 8
SERVICE_TARGET, BULK_TARGET, SINGLE_TARGET = 10_000, 3_000, 600
MINIMAL, NEW_KEY = {"Prefer": "return=minimal"}, {"Idempotency-Key": KEY_MARK.decode()}
SINGLE = (
    ("HTTP, one by one, the default answer", {}),
    ("HTTP, one by one, `Prefer: return=minimal`", MINIMAL),
    ("HTTP, one by one, the same with idempotency keys", MINIMAL | NEW_KEY),
)
# Like the web server of deploy/.
WEB_WORKERS, WEB_THREADS = 2, 8
READY_SECONDS, UNLIMITED = 60.0, 10**9
_NEWS = "SELECT count(*) FROM scheduling_wake"
_EACH = (
    f"`sleep` jobs of {TENANTS} tenants; each is validated, counted against the tenant's rate, quotas and limits, and "
    "stored with its event, its place in line, the news for the dispatcher and an audit entry, by the restricted role "
    "under row security, `synchronous_commit` on; a dispatcher without slots folds the news meanwhile"
)
_HTTP = (
    f"gunicorn with {WEB_WORKERS} processes of {WEB_THREADS} threads and the log of requests, as `deploy/` starts it; "
    f"one client process with {{connections}} connections, kept alive, each of which sends when it was answered, over "
    f"{SECONDS:.0f} s"
)


def measure_submission(folder: Path) -> list[Finding]:
    """Measure each way alone, with a dispatcher without slots that folds the wake-ups of submissions."""
    slugs, tokens = _create_tenants()
    job = {"kind": "sleep", "payload": PAYLOAD}
    with _serving(folder) as (processes, web, port):

        def by_http(how: str, target: int, path: str, body: object, count: int, jobs: int, **headers: str) -> Finding:
            requests = [_request(port, tokens[number % TENANTS], path, body, headers) for number in range(count)]
            arguments = [(HOST, port, requests, jobs)]
            words = _HTTP.format(connections=count)
            return _measure_way(how, target, words, submit_by_http, arguments, (WARM_UP_SECONDS, SECONDS), web)

        findings = [
            # One submitting process uses one processor, and another one in PostgreSQL: it has no target.
            _by_service(f"service, bulks of {BULK:,}, one process", None, slugs[:1]),
            _by_service(f"service, bulks of {BULK:,}, 2 processes", SERVICE_TARGET, slugs[:2]),
            by_http("HTTP, bulks of 1,000", BULK_TARGET, "jobs/bulk/", {"jobs": [job] * BULK}, BULK_CONNECTIONS, BULK),
            *(by_http(how, SINGLE_TARGET, "jobs/", job, SINGLE_CONNECTIONS, 1, **headers) for how, headers in SINGLE),
        ]
        processes.wait_until(lambda: ask(_NEWS) == 0, within=READY_SECONDS, what="all news are folded")
    verify_platform()
    return findings


def _create_tenants() -> tuple[list[str], list[str]]:
    """Return the tenants' slugs, and a key of each."""
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=UNLIMITED, submits_per_minute=UNLIMITED)
        for plan in Plan.objects.all():
            PlanLimit.objects.update_or_create(plan=plan, key="submit_burst", defaults={"value": UNLIMITED})
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"submits-{number}-{os.getpid()}", plan="team") for number in range(TENANTS)]
        keys = [issue_api_key(tenant=tenant, name="bench", scopes=DEVELOPER_KEY_SCOPES) for tenant in tenants]
    return [tenant.slug for tenant in tenants], [key.token for key in keys]


def _request(port: int, token: str, path: str, body: object, headers: Mapping[str, str]) -> str:
    """Return a request in its wire format."""
    text = json.dumps(body)
    lines = {"Host": f"{HOST}:{port}", "Authorization": f"Api-Key {token}", "Content-Type": "application/json"}
    lines |= {"Content-Length": str(len(text)), **headers}
    head = [f"POST /api/v1/{path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    return "\r\n".join([*head, "", text])


def _by_service(how: str, target: int | None, slugs: Sequence[str]) -> Finding:
    amounts = (WARM_UP_JOBS, SERVICE_JOBS // len(slugs))
    return _measure_way(how, target, _EACH, submit_by_service, [(slug,) for slug in slugs], amounts)


def _measure_way(
    how: str,
    target: int | None,
    words: str,
    submit: Callable[..., int],
    arguments: Sequence[tuple[Any, ...]],
    amounts: tuple[float, float],
    web: Popen[bytes] | None = None,
) -> Finding:
    """Return the finding of concurrently submitting processes, after a warm-up."""
    with submitting(submit, arguments) as run:
        run(amounts[0])
        analyse()
        server, serving = seconds_of_postgresql(), seconds_of_family(web.pid) if web else 0.0
        done = run(amounts[1])
        server = seconds_of_postgresql() - server
        serving = seconds_of_family(web.pid) - serving if web else 0.0
    jobs, own = sum(one.jobs for one in done), sum(one.processor for one in done)
    rate = jobs / (max(one.ended for one in done) - min(one.began for one in done))
    # Without a server the submitting process serves.
    spent = (serving, server, own) if web else (own, server, 0.0)
    by, postgresql, client = (seconds / jobs * 1e6 for seconds in spent)
    what = f"jobs submitted per second: {how}"
    beside = f"serving {by:,.0f} + PostgreSQL {postgresql:,.0f} + client {client:,.0f} µs of processor per job; {words}"
    return shown(what, f"{rate:,.0f}", beside) if target is None else at_least(what, rate, target, ",.0f", beside)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Processes, Any, int]]:
    """Start a dispatcher and the web server; yield them and the port once it responds, and stop them."""
    processes, port, counters = Processes(folder), free_port(), folder / "web-counters"
    counters.mkdir()
    command = ["gunicorn", f"--bind={HOST}:{port}", f"--workers={WEB_WORKERS}", f"--threads={WEB_THREADS}"]
    try:
        processes.start_dispatcher()
        web = processes.run(
            [sys.executable, "-m", *command, "jobsplatform.wsgi"],
            log="web",
            environment={MULTIPROCESS_VARIABLE: str(counters)},
        )
        processes.workers.append(web)
        processes.wait_until(partial(_is_answering, port), within=READY_SECONDS, what="the web server answers")
        yield processes, web, port
    finally:
        processes.stop()


def _is_answering(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/health/live", headers={"Host": "localhost"}, timeout=5).is_success
    except httpx.TransportError:
        return False
