"""The benchmark of overload: goodput, waits of an essential kind, refusals by tier, and recovery."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import batched
from multiprocessing import get_context
from pathlib import Path

import django
import httpx

from benchmarks.harness.filling import ask, clear_platform, run_statement
from benchmarks.harness.jobs import verify_platform
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from benchmarks.harness.processes import Processes, serving
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import HOST, free_port
from jobsplatform.demo.provision import ACTOR
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.models import LoadState, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.service import force_level, release_level
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from tenants.access.api_keys import issue_api_key
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Plan, PlanLimit
from tenants.tenancy.service import create_tenant

SECONDS = float(os.environ.get("LOAD_SECONDS", "60"))
FACTORS = (2, 5, 10)
SLOTS, JOB_SECONDS, CONNECTIONS = 4, 0.5, 12
TIERS = ("sandbox", "team", "professional")
# Of a tenant that sends many others too: its priority lets it pass these.
ESSENTIAL, ESSENTIAL_A_SECOND, ESSENTIAL_PRIORITY = "noop", 2.0, 5
FORCED_FACTOR = 5
LEAST_GOODPUT, MOST_WAIT_SECONDS, MOST_RECOVERY_SECONDS = 0.95, 2.0, 60.0
READY_SECONDS, UNLIMITED = 60.0, 10**9
# What the last part of a run completed, and how long the essential kind waited in it.
_COMPLETED = """
SELECT count(*) FROM scheduling_jobevent e JOIN scheduling_job j ON j.id = e.job_id AND j.kind = 'sleep'
WHERE e.name = 'execution.completed' AND e.at BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""
_WAITS = """
SELECT extract(epoch FROM min(s.at) - j.created_at)::float8
FROM scheduling_job j JOIN scheduling_jobevent s ON s.job_id = j.id AND s.name = 'execution.started'
WHERE j.kind = %(kind)s AND j.created_at BETWEEN to_timestamp(%(since)s) AND to_timestamp(%(until)s)
GROUP BY j.id, j.created_at
"""
_UNENDED = (
    "SELECT count(*) FROM scheduling_job WHERE state NOT IN ('completed', 'cancelled', 'discarded', 'quarantined')"
)
_ENDED = "SELECT count(*) FROM scheduling_job WHERE state IN ('completed', 'cancelled')"
_WAITING = "SELECT tenant_id, array_agg(id) FROM scheduling_job WHERE state IN ('available', 'scheduled') GROUP BY 1"
_WAITING_OF_KIND = "SELECT count(*) FROM scheduling_job WHERE kind = %s AND state IN ('available', 'dispatched')"
CANCELLED_AT_ONCE = 5_000


@dataclass(slots=True)
class Sent:
    """What clients sent and were answered, by tier and status."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    def accepted(self) -> int:
        return sum(count for (_, status), count in self.answers.items() if status == 201)

    def part_refused(self, tier: str) -> float:
        of_tier = {status: count for (of, status), count in self.answers.items() if of == tier}
        return of_tier.get(503, 0) / max(1, sum(of_tier.values()))


def measure_overload(folder: Path) -> list[Finding]:
    """Measure the capacity, then send several times as many jobs; ``LOAD_SECONDS`` sets the time of each."""
    clear_platform()
    tokens = _create_tenants()
    findings: list[Finding] = []
    with serving(folder, slots=SLOTS) as processes, _web(processes, folder) as port:
        capacity = _measure_capacity(processes)
        beside = (
            f"{SLOTS} slots, jobs of {1_000 * JOB_SECONDS:.0f} ms, on {os.cpu_count()} cores with clients and servers"
        )
        findings.append(shown("capacity without overload", f"{capacity:.1f} jobs/s", beside))
        for factor in FACTORS:
            findings += _measure_rate(processes, port, tokens, capacity, factor, f"at {factor} times the capacity")
        with acting_as(ACTOR):
            force_level(scope="pool:default", level=Level.OVERLOADED, reason="benchmark")
        name = f"at {FORCED_FACTOR} times the capacity, the pool forced to overloaded"
        findings += _measure_rate(processes, port, tokens, capacity, FORCED_FACTOR, name)
    verify_platform()
    return findings


def _measure_capacity(processes: Processes) -> float:
    """Return the jobs completed a second while many of one tenant wait."""
    with all_tenants():
        tenant = create_tenant(slug=f"capacity-{os.getpid()}", plan="professional")
    with acting_as(ACTOR):
        requests = [JobRequest(kind="sleep", payload={"seconds": JOB_SECONDS})] * 1_000
        submit_jobs(tenant=tenant, requests=requests)
    time.sleep(5.0)
    began = time.time()
    time.sleep(15.0)
    rate = float(ask(_COMPLETED, [began, time.time()])) / 15.0
    processes.wait_until(lambda: ask(_UNENDED) == 0, within=120.0, what="the jobs have ended")
    return rate


def _measure_rate(
    processes: Processes, port: int, tokens: Sequence[tuple[str, str]], capacity: float, factor: int, name: str
) -> list[Finding]:
    """Send so many times the capacity, and measure until the load is normal and all accepted jobs have ended."""
    before, began = ask(_ENDED), time.time()
    with ProcessPoolExecutor(1, get_context("spawn"), django.setup) as pool:
        sent = pool.submit(_send_for, SECONDS, HOST, port, tokens, factor * capacity).result()
    ended = time.time()
    late = began + SECONDS / 3
    goodput = float(ask(_COMPLETED, [late, ended])) / (ended - late)
    processes.wait_until(lambda: ask(_WAITING_OF_KIND, [ESSENTIAL]) == 0, within=120.0, what="the essential jobs start")
    waits = [row[0] for row in run_statement(_WAITS, {"kind": ESSENTIAL, "since": began, "until": ended})]
    with all_tenants():
        forced = LoadState.objects.filter(forced_level__isnull=False).values_list("scope", flat=True).first()
    if forced:
        with acting_as(ACTOR):
            release_level(scope=forced, reason="benchmark")
    processes.wait_until(_is_calm, within=4 * MOST_RECOVERY_SECONDS, what="the load is normal again")
    recovery = time.time() - ended
    backlog = _cancel_waiting()
    processes.wait_until(lambda: ask(_UNENDED) == 0, within=120.0, what="the accepted jobs have ended")
    lost = sent.accepted() - (ask(_ENDED) - before)
    parts = ", ".join(f"{tier} {sent.part_refused(tier):.0%}" for tier in TIERS)
    total = sum(sent.answers.values())
    return [
        at_least(f"{name}: goodput", goodput / capacity, LEAST_GOODPUT, ".0%", f"{goodput:.1f} jobs/s completed"),
        at_most(
            f"{name}: essential kind, p99 from submission to start",
            percentile(waits, 0.99), MOST_WAIT_SECONDS, ".2f s", f"{len(waits)} jobs of a kind named essential",
        ),
        shown(f"{name}: refused", parts, f"of {total:,} submissions in {ended - began:.0f} s"),
        at_most(f"{name}: recovery", recovery, MOST_RECOVERY_SECONDS, ".0f s", "until every load state is normal"),
        at_most(f"{name}: accepted jobs lost", lost, 0, ".0f", f"{sent.accepted():,} accepted, {backlog:,} left"),
    ]  # fmt: skip


def _cancel_waiting() -> int:
    """Cancel the jobs that wait, and return how many there were."""
    count = 0
    for tenant_id, ids in run_statement(_WAITING):
        with acting_as(ACTOR), tenant_context(tenant_id):
            for part in batched(ids, CANCELLED_AT_ONCE, strict=False):
                cancel_jobs(job_ids=part, reason="benchmark")
        count += len(ids)
    return count


def _is_calm() -> bool:
    with all_tenants():
        return not LoadState.objects.exclude(level=0).exists()


def _create_tenants() -> list[tuple[str, str]]:
    """Return the tier and a key of two tenants of each tier; every rate and quota is unlimited."""
    with all_tenants():
        Plan.objects.update(
            max_priority=ESSENTIAL_PRIORITY,
            max_waiting_jobs=UNLIMITED,
            submits_per_minute=UNLIMITED,
            max_concurrency=1_000,
        )
        for plan in Plan.objects.all():
            PlanLimit.objects.update_or_create(plan=plan, key="submit_burst", defaults={"value": UNLIMITED})
    with acting_as(ACTOR):
        tenants = [
            (tier, create_tenant(slug=f"{tier}-{number}-{os.getpid()}", plan=tier))
            for tier in TIERS
            for number in range(2)
        ]
        with all_tenants():
            values = {"name": "essential", "position": 1, "from_level": 1, "action": "essential", "kind": ESSENTIAL}
            SHEDDING_RULES.save(SheddingRule(), values)
        return [
            (tier, issue_api_key(tenant=tenant, name="bench", scopes=DEVELOPER_KEY_SCOPES).token)
            for tier, tenant in tenants
        ]


def _send_for(seconds: float, host: str, port: int, tokens: Sequence[tuple[str, str]], rate: float) -> Sent:
    """Send jobs of all tenants at a rate, whatever the responses, and those of the essential kind beside them."""
    return asyncio.run(_send(seconds, f"http://{host}:{port}/api/v1/jobs/", tokens, rate))


async def _send(seconds: float, url: str, tokens: Sequence[tuple[str, str]], rate: float) -> Sent:
    sent, until = Sent(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    pending: set[asyncio.Task[None]] = set()
    body = {"kind": "sleep", "payload": {"seconds": JOB_SECONDS}}
    essential = {"kind": ESSENTIAL, "priority": ESSENTIAL_PRIORITY}

    async def post(client: httpx.AsyncClient, tier: str, token: str, job: object) -> None:
        headers = {"Authorization": f"Api-Key {token}", "Prefer": "return=minimal", "Content-Type": "application/json"}
        response = await client.post(url, content=json.dumps(job), headers=headers)
        sent.answers[tier, response.status_code] += 1

    async with httpx.AsyncClient(limits=limits, timeout=60.0) as client, httpx.AsyncClient(timeout=60.0) as own:
        number, began, essentials = 0, time.monotonic(), 0
        while (now := time.monotonic()) < until:
            due = int((now - began) * rate)
            while number < due and len(pending) < 4 * CONNECTIONS:
                tier, token = tokens[number % len(tokens)]
                pending.add(task := asyncio.create_task(post(client, tier, token, body)))
                task.add_done_callback(pending.discard)
                number += 1
            # A client that cannot send more at a time leaves out what it could not send.
            number = max(number, due - CONNECTIONS)
            if essentials < (now - began) * ESSENTIAL_A_SECOND:
                essentials += 1
                pending.add(task := asyncio.create_task(post(own, "essential", tokens[2][1], essential)))
                task.add_done_callback(pending.discard)
            await asyncio.sleep(0.005)
        await asyncio.gather(*pending)
    return sent


@contextmanager
def _web(processes: Processes, folder: Path) -> Iterator[int]:
    """Start the web server as in production; yield its port once it responds."""
    port, counters = free_port(), folder / "web-counters"
    counters.mkdir()
    command = ["gunicorn", f"--bind={HOST}:{port}", "--workers=2", "--threads=4", "jobsplatform.wsgi"]
    environment = {MULTIPROCESS_VARIABLE: str(counters)}
    web = processes.run([sys.executable, "-m", *command], log="web", environment=environment)
    processes.workers.append(web)
    processes.wait_until(partial(_is_answering, port), within=READY_SECONDS, what="the web server answers")
    yield port


def _is_answering(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/health/live", headers={"Host": "localhost"}, timeout=5).is_success
    except httpx.TransportError:
        return False


BENCHMARK = Benchmark(
    "load",
    "Under load",
    (Part("overload", 9.0, measure_overload),),
    "Real processes: gunicorn, a dispatcher and a worker. Two tenants of each tier send at the same rate, whatever the "
    "answers; refused submissions are not repeated. Jobs wait in fair order, so a load that every tenant causes "
    "equally raises no state by itself; the shipped rules are measured with a forced one. One more rule names an "
    "essential kind, whose jobs have a priority among those of their tenant. Jobs that still wait are then cancelled.",
)
