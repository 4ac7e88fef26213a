"""Tabs that poll the overview's fragments, and a sample of every page of the console and every GET of the API."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from benchmarks.console.addresses import Address, api_addresses, console_addresses
from benchmarks.harness.filling import ask
from benchmarks.harness.parts import Finding, MeasureFailedError, at_most
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import HOST
from scheduling.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.access.api_keys import issue_api_key
from tenants.access.memberships import add_member
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant

VIEWERS, SECONDS, WARM_UP_SECONDS = 300, 60.0, 10.0
# The fragments with the seconds between two requests, as in templates/admin/index.html.
BOUND, KINDS = ("overview/", "overview/shares/"), "overview/kinds/"
INTERVALS = {BOUND[0]: 5.0, BOUND[1]: 10.0, KINDS: 60.0}
POLL_MS, CONNECTIONS = 25.0, 20
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@dataclass(slots=True)
class Tabs:
    """The viewers' tabs: the duration of each poll in milliseconds by fragment, statuses, and database connections."""

    port: int
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    connections: int = 0
    begins_at: float = 0.0

    async def poll(self, cookies: Sequence[str]) -> None:
        """Poll all fragments in all tabs for a while, at evenly spread phases."""
        self.begins_at = time.monotonic() + WARM_UP_SECONDS
        until = self.begins_at + SECONDS
        tabs = [
            self._poll(path, interval, cookie, until, first=interval * number / len(cookies))
            for number, cookie in enumerate(cookies)
            for path, interval in INTERVALS.items()
        ]
        await asyncio.gather(self._count_connections(until), *tabs)

    async def _poll(self, path: str, interval: float, cookie: str, until: float, *, first: float) -> None:
        due, tag = time.monotonic() + first, ""
        while due < until:
            await asyncio.sleep(due - time.monotonic())
            began = time.monotonic()
            status, tag = await self._get(path, cookie, tag)
            if began >= self.begins_at:
                self.took[path].append((time.monotonic() - began) * 1e3)
            self.statuses[status] += 1
            due = max(due + interval, time.monotonic())

    async def _get(self, path: str, cookie: str, tag: str) -> tuple[int, str]:
        """Return the status and the ETag of a completely read response."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        lines = [f"GET /admin/{path} HTTP/1.1", "Host: localhost", f"Cookie: {cookie}", "HX-Request: true"]
        lines += [f"If-None-Match: {tag}"] if tag else []
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        head = (await reader.read()).partition(b"\r\n\r\n")[0].decode("latin-1")
        writer.close()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        return int(head.split(" ", 2)[1]), fields.get("etag", tag)

    async def _count_connections(self, until: float) -> None:
        while time.monotonic() < until:
            self.connections = max(self.connections, await sync_to_async(ask)(_CONNECTIONS))
            await asyncio.sleep(1.0)


def measure_viewers(port: int) -> list[Finding]:
    """Poll the web server on this port with all viewers. Raise `MeasureFailedError` for any status but 200 and 304."""
    cookies = [_log_in(number) for number in range(VIEWERS)]
    before, tabs = ask(_CONNECTIONS), Tabs(port)
    asyncio.run(tabs.poll(cookies))
    if refused := set(tabs.statuses) - {200, 304}:
        raise MeasureFailedError(f"Parts of the first page were answered with {sorted(refused)}.")
    polled = [taken for path in BOUND for taken in tabs.took[path]]
    unchanged = tabs.statuses[304] / sum(tabs.statuses.values())
    return [
        at_most(
            f"Fragment poll at {VIEWERS} viewers, p95",
            *(percentile(polled, 0.95), POLL_MS, ".1f ms"),
            f"{len(polled):,} requests of {' and '.join(f'`{path}`' for path in BOUND)} in {SECONDS:.0f} s with "
            f"If-None-Match; {unchanged:.0%} of all were answered 304; staff of the platform with a log-in each, a "
            "connection per request, to two gunicorn processes of four threads",
            note=f" (p50 {percentile(polled, 0.5):.1f})",
        ),
        at_most(f"Fragment `{KINDS}` at {VIEWERS} viewers, p95", percentile(tabs.took[KINDS], 0.95), POLL_MS, ".1f ms"),
        at_most(
            f"Connections to PostgreSQL that {VIEWERS} viewers add",
            *(tabs.connections - before, CONNECTIONS, ".0f"),
            f"{before} were open before",
        ),
    ]


def _log_in(number: int) -> str:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser(f"viewer-{number}"))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


# A URL whose rounds take longer together than some seconds is requested at least so many times.
ROUNDS, WARM_UP, ADDRESS_SECONDS, LEAST_ROUNDS = 10, 1, 5.0, 3
# The slowest URLs are listed below the table.
TARGET_MS, LISTED = 150.0, 10
METRICS_TOKEN = "volume"  # noqa: S105 - of this run's own process
# 202: a run was started. 286: the body of an ended job, which stops its polling.
OK, SEE_OTHER = frozenset({200, 201, 202, 286}), 302
# Missing permissions, a tenant that platform staff must name, POST only, a redirect to another page. Any other status
# is an error of the server or of the list of URLs.
REFUSED = frozenset({302, 400, 403, 405})


@dataclass(frozen=True, slots=True)
class Timing:
    """The duration of each request of a URL in milliseconds, and the status of the last response."""

    address: Address
    status: int
    times: Sequence[float]

    @property
    def p95(self) -> float:
        return percentile(self.times, 0.95)

    @property
    def is_answered(self) -> bool:
        return self.status in OK or (self.address.leads_on and self.status == SEE_OTHER)

    @property
    def is_slow(self) -> bool:
        return self.is_answered and self.p95 > (self.address.budget_ms or TARGET_MS)

    @property
    def words(self) -> str:
        """Return the URL without keys, and its p95."""
        return f"`{_label(self.address)}` {self.p95:.0f} ms"


def take_sample(tenant: Tenant) -> list[Finding]:
    """Request all URLs; the database must be filled, and the tenant have the most rows."""
    with override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {"METRICS_TOKEN": METRICS_TOKEN}):
        return judge([_time(client, address) for client, address in _requests(tenant)])


def judge(timings: Sequence[Timing]) -> list[Finding]:
    """Return the findings of the sample."""
    answered = sorted((one for one in timings if one.is_answered), key=lambda one: one.p95, reverse=True)
    slow = [one for one in answered if one.is_slow]
    faults = sorted({f"{_label(one.address)} ({one.status})" for one in timings if one.status not in OK | REFUSED})
    return [
        Finding(
            f"Pages and endpoints slower than {TARGET_MS:.0f} ms p95",
            "none",
            f"{len(slow)} of {len(answered)}" + (f" (the slowest: {slow[0].words})" if slow else ""),
            is_met=not slow and bool(answered),
            beside=f"with the platform stopped, each of {len(timings)} addresses of the URL configuration is requested "
            f"{ROUNDS} times after {WARM_UP} to warm up; member pages and API keys are those of the tenant with three "
            "tenths of all rows; a streamed response is timed to its first part; a what-if may take 300 ms; "
            f"{len(timings) - len(answered)} requests are refused or fail and are not timed; slowest, p95: "
            f"{', '.join(one.words for one in answered[:LISTED])}",
        ),
        Finding(
            "Pages and endpoints that answer 404 or 5xx",
            "none",
            f"{len(faults)}",
            is_met=not faults,
            beside=", ".join(faults),
        ),
    ]


def _time(client: Client, address: Address) -> Timing:
    times: list[float] = []
    status, started = 0, time.perf_counter()
    for number in range(WARM_UP + ROUNDS):
        if address.prepare is not None:
            address.prepare()
        begun = time.perf_counter()
        response = _request(client, address)
        if response.streaming:
            next(iter(response.streaming_content), b"")
        taken = (time.perf_counter() - begun) * 1e3
        response.close()
        status = response.status_code
        if not Timing(address, status, times).is_answered:
            break
        if number >= WARM_UP:
            times.append(taken)
        if len(times) >= LEAST_ROUNDS and time.perf_counter() - started > ADDRESS_SECONDS:
            break
    return Timing(address, status, times or [0.0])


def _requests(tenant: Tenant) -> Iterator[tuple[Client, Address]]:
    """Yield the requests: the API by key and by staff, the console as owner and as staff, the probes by their token."""
    owner = get_user_model().objects.create_user("volume-owner", is_staff=True)
    add_member(tenant=tenant, user=owner, role=Role.OWNER)
    staff = get_user_model().objects.create_superuser("volume-staff")
    token = issue_api_key(tenant=tenant, name="volume", scopes=DEVELOPER_KEY_SCOPES).token
    keys, probes = _client(authorization=f"Api-Key {token}"), _client(authorization=f"Bearer {METRICS_TOKEN}")
    owners, staffs, named = _client(), _client(), _client(**{"x-tenant": tenant.slug})
    owners.force_login(owner)
    staffs.force_login(staff)
    named.force_login(staff)
    request_tenant_run(name=AUDIT_TASK, tenant=tenant)
    with tenant_context(tenant):
        of_api, of_members = list(api_addresses()), list(console_addresses())
    with all_tenants():
        of_staff = list(console_addresses())
    for address in of_api:
        yield keys, address
        # Requests with a body apply to the named tenant.
        yield staffs if address.body is None else named, address
    yield from ((owners, address) for address in of_members)
    yield from ((staffs, address) for address in of_staff)
    yield from ((probes, Address(path)) for path in ("/metrics", "/health/ready", "/health/live"))


def _client(**headers: str) -> Client:
    return Client(headers={"host": "localhost", **headers})


def _request(client: Client, address: Address) -> Any:
    if address.body is None:
        return client.get(address.path)
    if address.path.startswith("/api/"):
        return client.post(address.path, address.body, content_type="application/json")
    return client.post(address.path, address.body)


def _label(address: Address) -> str:
    method = "" if address.body is None else "POST "
    return method + re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", address.path)
