"""A sample of every page of the console, every GET of the API and the POSTs that read: which are slow, which fail."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from benchmarks.addresses import Address, api_addresses, console_addresses
from benchmarks.harness.parts import Finding
from jobsplatform.demo.measures import percentile
from scheduling.services.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.memberships import add_member

ROUNDS = 10
WARM_UP = 1
# An address whose rounds together take longer than this is requested a few times only.
ADDRESS_SECONDS, LEAST_ROUNDS = 5.0, 3
TARGET_MS = 150.0
# The slowest addresses, which are listed below the table.
LISTED = 10
METRICS_TOKEN = "volume"  # noqa: S105 - of this run's own process
# 286: the body of a job that has ended, which stops its polling.
OK = frozenset({200, 201, 286})
SEE_OTHER = 302
# What a role may not see, where somebody of the platform has to name a tenant, what is asked for by POST, and what
# leads to another page. Everything else is a fault of the server or of this list.
REFUSED = frozenset({302, 400, 403, 405})


@dataclass(frozen=True, slots=True)
class Page:
    """An address, and who asks for it by which client."""

    who: str
    address: Address
    ask: Callable[[Address], Any]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a page took, in milliseconds, and how it answered."""

    page: Page
    status: int
    times: Sequence[float]

    @property
    def p95(self) -> float:
        return percentile(self.times, 0.95)

    @property
    def is_answered(self) -> bool:
        return self.status in OK or (self.page.address.leads_on and self.status == SEE_OTHER)

    @property
    def is_slow(self) -> bool:
        return self.is_answered and self.p95 > (self.page.address.budget_ms or TARGET_MS)


@dataclass(frozen=True, slots=True)
class Sample:
    """Timings of all addresses, the slowest first."""

    timings: Sequence[Timing]

    @property
    def answered(self) -> Sequence[Timing]:
        return [timing for timing in self.timings if timing.is_answered]

    @property
    def faults(self) -> Sequence[str]:
        return sorted({f"{_label(t.page.address)} ({t.status})" for t in self.timings if t.status not in OK | REFUSED})

    @property
    def findings(self) -> Sequence[Finding]:
        slow = [timing for timing in self.answered if timing.is_slow]
        worst = f" (the worst: {_describe(slow[0])})" if slow else ""
        return [
            Finding(
                f"Pages and endpoints slower than {TARGET_MS:.0f} ms p95",
                "none",
                f"{len(slow)} of {len(self.answered)}{worst}",
                is_met=not slow and bool(self.answered),
                beside=self._words,
            ),
            Finding(
                "Pages and endpoints that answer 404 or 5xx",
                "none",
                f"{len(self.faults)}",
                is_met=not self.faults,
                beside=", ".join(self.faults),
            ),
        ]

    @property
    def _words(self) -> str:
        refused = sum(timing.status in REFUSED and not timing.is_answered for timing in self.timings)
        slowest = ", ".join(_describe(timing) for timing in self.answered[:LISTED])
        return (
            f"with the platform stopped, each of {len(self.timings)} addresses of the URL configuration is requested"
            f" {ROUNDS} times after {WARM_UP} to warm up; member pages and API keys are those of the tenant with three"
            " tenths of all rows; a streamed response is timed to its first part; a what-if may take 300 ms;"
            f" {refused} requests are refused by role, and not timed; slowest, p95: {slowest}"
        )


def take_sample(tenant: Tenant) -> Sample:
    """Request every address a few times; the database must be filled, and the tenant have the most rows."""
    settings.METRICS_TOKEN = METRICS_TOKEN
    timings = [_time(page) for page in _pages(tenant)]
    return Sample(sorted(timings, key=lambda timing: timing.p95, reverse=True))


def _time(page: Page) -> Timing:
    times: list[float] = []
    status, started = 0, time.perf_counter()
    for round_number in range(WARM_UP + ROUNDS):
        if page.address.prepare is not None:
            page.address.prepare()
        begun = time.perf_counter()
        response = page.ask(page.address)
        if response.streaming:
            next(iter(response.streaming_content), b"")
        taken = (time.perf_counter() - begun) * 1e3
        response.close()
        status = response.status_code
        if not Timing(page, status, times).is_answered:
            break
        if round_number >= WARM_UP:
            times.append(taken)
        if len(times) >= LEAST_ROUNDS and time.perf_counter() - started > ADDRESS_SECONDS:
            break
    return Timing(page, status, times or [0.0])


def _pages(tenant: Tenant) -> Iterator[Page]:
    """The API by key and by staff, the console as an owner and as staff, the probes by whoever has their token."""
    owner = User.objects.create_user("volume-owner", is_staff=True)
    add_member(tenant=tenant, user=owner, role=Role.OWNER)
    staff = User.objects.create_superuser("volume-staff")
    key = issue_api_key(tenant=tenant, name="volume", scopes=DEVELOPER_KEY_SCOPES).token
    keys = Client(headers={"host": "localhost", "authorization": f"Api-Key {key}"})
    probes = Client(headers={"host": "localhost", "authorization": f"Bearer {METRICS_TOKEN}"})
    owners, staffs = Client(headers={"host": "localhost"}), Client(headers={"host": "localhost"})
    named = Client(headers={"host": "localhost", "x-tenant": tenant.slug})
    owners.force_login(owner)
    staffs.force_login(staff)
    named.force_login(staff)
    request_tenant_run(name=AUDIT_TASK, tenant=tenant)
    with tenant_context(tenant):
        of_api, of_members = list(api_addresses()), list(console_addresses())
    with all_tenants():
        of_staff = list(console_addresses())
    for address in of_api:
        yield Page("key", address, partial(_ask, keys))
        # What is asked with a body is about the tenant that is named.
        yield Page("staff", address, partial(_ask, staffs if address.body is None else named))
    for address in of_members:
        yield Page("member", address, partial(_ask, owners))
    for address in of_staff:
        yield Page("staff", address, partial(_ask, staffs))
    for path in ("/metrics", "/health/ready", "/health/live"):
        yield Page("probe", Address(path), partial(_ask, probes))


def _ask(client: Client, address: Address) -> Any:
    if address.body is None:
        return client.get(address.path)
    if address.path.startswith("/api/"):
        return client.post(address.path, address.body, content_type="application/json")
    return client.post(address.path, address.body)


def _describe(timing: Timing) -> str:
    return f"`{_label(timing.page.address)}` {timing.p95:.0f} ms"


def _label(address: Address) -> str:
    method = "" if address.body is None else "POST "
    return method + re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", address.path)
