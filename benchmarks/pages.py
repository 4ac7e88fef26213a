"""Every page of the console, every GET of the API and the POSTs that read, over a million jobs: p50 and p95 of each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from benchmarks import volume
from benchmarks.addresses import Address, api_addresses, console_addresses
from benchmarks.outcome import Outcome
from jobsplatform.demo.measures import percentile
from jobsplatform.preloading import preload_web
from scheduling.services.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.conf import OWNER_ALIAS
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.memberships import add_member

ROUNDS = 20
WARM_UP = 2
# An address that takes longer than this for all its rounds is asked a few times only.
ADDRESS_SECONDS, LEAST_ROUNDS = 10.0, 3
TARGET_MS = 150.0
METRICS_TOKEN = "volume"  # noqa: S105 - of this run's own process
OK = frozenset({200, 201})
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


def measure(folder: Path) -> Outcome:
    """Fill the database, then ask for everything, each address ROUNDS times in a row."""
    made = volume.fill()
    analyse()
    settings.METRICS_TOKEN = METRICS_TOKEN
    pages = list(_pages(made.busiest))
    preload_web()
    timings = [_time(page) for page in pages]
    return conclude(timings, jobs=made.jobs, tenants=made.tenants)


def conclude(timings: Sequence[Timing], *, jobs: int, tenants: int) -> Outcome:
    """Met if every page was answered or refused as it should be, and none is slow."""
    answered = sorted((timing for timing in timings if timing.is_answered), key=lambda t: t.p95, reverse=True)
    refused = sum(timing.status in REFUSED and not timing.is_answered for timing in timings)
    faults = sorted({f"{t.page.address.path} ({t.status})" for t in timings if t.status not in OK | REFUSED})
    slow = sum(timing.is_slow for timing in timings)
    return Outcome(
        name="pages",
        title=f"Pages and endpoints over {jobs:,} jobs of {tenants} tenants",
        rows=[
            ["page", "asked by", "p50 ms", "p95 ms"],
            *(
                [f"`{_label(t.page.address)}`", t.page.who, f"{percentile(t.times, 0.5):.0f}", f"{t.p95:.0f}"]
                for t in answered
            ),
        ],
        target=f"no page above {TARGET_MS:.0f} ms p95 ({slow} are), nothing that answers 404 or 5xx ({len(faults)} do)",
        is_met=not slow and not faults and bool(answered),
        method=(
            f"{len(timings)} addresses, found in the URL configuration, each asked for {ROUNDS} times after {WARM_UP}"
            " to warm up, one at a time, through Django's whole stack in one process; the tenant asked about is the one"
            " with three tenths of all rows, staff sees all. Slowest first. What is sent as a stream is timed to its"
            " first part. A what-if has a budget of its own, 300 ms. Each run of upkeep over a tenant is a new one:"
            f" what is timed is its request. {refused} were refused, as that role may not ask there, and not timed."
            + (f" Faults: {', '.join(faults)}." if faults else "")
        ),
    )


def analyse() -> None:
    """What autovacuum does in the background, as the owner may."""
    entry = connections[OWNER_ALIAS].settings_dict
    with psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        user=entry["USER"],
        password=entry["PASSWORD"],
        dbname=entry["NAME"],
        autocommit=True,
    ) as owner:
        owner.execute("VACUUM (ANALYZE)")


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


def _label(address: Address) -> str:
    method = "" if address.body is None else "POST "
    return method + re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", address.path)
