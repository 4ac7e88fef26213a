"""Every page of the console and every GET of the API, over a million jobs: p50 and p95 of each."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from benchmarks import volume
from benchmarks.outcome import Outcome
from jobsplatform.demo.measures import percentile
from tenants.conf import OWNER_ALIAS
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tenants.services.api_keys import issue_api_key
from tenants.services.memberships import add_member

ROUNDS = 20
WARM_UP = 2
TARGET_MS = 150.0
API = "/api/v1/"
# The schema is made once by whoever generates a client; an export streams all that there is.
LEFT_OUT = re.compile(r"^/api/v1/((schema|docs)/|.*/(export|download)/)")
# Lists as people narrow them down, besides the lists themselves.
NARROWED: dict[str, tuple[str, ...]] = {
    "/api/v1/jobs/": (
        "state=discarded",
        "state=available",
        "kind=document_indexing",
        "tag=night",
        "error=ParseError",
        "created_before={noon}",
        "state=quarantined&kind=sleep",
        "tag=absent",
    ),
    "/api/v1/dead-letters/": ("error=ParseError", "requeued=true"),
    "/api/v1/audit-log/": ("action=queue.paused", "actor_kind=user", "created_before={noon}"),
    "/admin/scheduling/job/": ("state=quarantined", "kind=noop", "tenant=volume-7"),
    "/api/v1/fairness/": ("range=6h", "range=day"),
    "/admin/fairness/": ("range=day", "range=day&view=table", "tenant=volume-0"),
    "/admin/scheduling/execution/": ("outcome=failed", "kind=noop"),
    "/admin/tenants/auditlogentry/": ("action=queue.paused",),
}
_GROUP = re.compile(r"\(\?P<(\w+)>")


@dataclass(frozen=True, slots=True)
class Page:
    """An address, and who asks for it by which client."""

    who: str
    address: str
    get: Callable[[str], HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a page took, in milliseconds, and how it answered."""

    page: Page
    status: int
    times: Sequence[float]

    @property
    def p95(self) -> float:
        return percentile(self.times, 0.95)


def measure(folder: Path) -> Outcome:
    """Fill the database, then ask for everything, each address ROUNDS times in a row."""
    made = volume.fill()
    _analyse()
    pages = list(_pages(made.busiest))
    gc.freeze()  # as the web process does once it is loaded
    timings = [_time(page) for page in pages]
    answered = [timing for timing in timings if timing.status == 200]
    answered.sort(key=lambda timing: timing.p95, reverse=True)
    others = sorted({f"{timing.page.address} ({timing.status})" for timing in timings if timing.status != 200})
    worst = answered[0].p95
    return Outcome(
        name="pages",
        title=f"Pages and endpoints over {made.jobs:,} jobs of {made.tenants} tenants",
        rows=[
            ["page", "asked by", "p50 ms", "p95 ms"],
            *(
                [f"`{_template(t.page.address)}`", t.page.who, f"{percentile(t.times, 0.5):.0f}", f"{t.p95:.0f}"]
                for t in answered
            ),
        ],
        target=f"no page above {TARGET_MS:.0f} ms p95",
        is_met=worst <= TARGET_MS and len(answered) > len(pages) // 2,
        method=(
            f"{len(pages)} addresses, found in the URL configuration and the admin's registry, each asked for {ROUNDS}"
            f" times after {WARM_UP} to warm up, one at a time, through Django's whole stack in one process; the"
            " tenant asked about is the one with three tenths of all rows, staff sees all. Slowest first."
            + (f" Not answered with a page, hence not timed: {', '.join(others)}." if others else "")
        ),
    )


def _analyse() -> None:
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
    times, status = [], 0
    for round_number in range(WARM_UP + ROUNDS):
        begun = time.perf_counter()
        response = page.get(page.address)
        body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
        taken = (time.perf_counter() - begun) * 1e3
        status = response.status_code
        if status != 200 or not body:
            break
        if round_number >= WARM_UP:
            times.append(taken)
    return Timing(page, status, times or [0.0])


def _pages(tenant: Tenant) -> Iterator[Page]:
    """The API by key and by staff, the console as an owner and as staff."""
    owner = User.objects.create_user("volume-owner", is_staff=True)
    add_member(tenant=tenant, user=owner, role=Role.OWNER)
    staff = User.objects.create_superuser("volume-staff")
    key = issue_api_key(tenant=tenant, name="volume").token

    def by_key(address: str) -> HttpResponseBase:
        return Client().get(address, headers={"host": "localhost", "authorization": f"Api-Key {key}"})

    owners, staffs = Client(headers={"host": "localhost"}), Client(headers={"host": "localhost"})
    owners.force_login(owner)
    staffs.force_login(staff)
    with tenant_context(tenant):
        addresses = list(_api_addresses())
    for address in addresses:
        yield Page("key", address, by_key)
        yield Page("staff", address, staffs.get)
    with tenant_context(tenant):
        of_members = list(_console_addresses())
    for address in of_members:
        yield Page("member", address, owners.get)
    with all_tenants():
        of_staff = list(_console_addresses())
    for address in of_staff:
        yield Page("staff", address, staffs.get)


def _api_addresses() -> Iterator[str]:
    """Every route that answers GET, with an id of the current tenant's where it wants one."""
    for route, callback in _routes(get_resolver().url_patterns, ""):
        view = getattr(callback, "cls", None)
        actions = getattr(callback, "actions", None)
        if not route.startswith(API.lstrip("/")) or view is None or (actions is not None and "get" not in actions):
            continue
        names = _GROUP.findall(route)
        if not names and not LEFT_OUT.match(f"/{route}"):
            yield from _with_narrowed(f"/{route}")
        elif len(names) == 1 and (value := _sample(view)) is not None:
            yield f"/{_fill(route, value)}"


def _routes(patterns: Sequence[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern).lstrip("^").rstrip("$").replace("\\Z", "")
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def _sample(view: Any) -> str | None:
    """The newest row's key of what the view shows."""
    model, field = getattr(view, "model", None), getattr(view, "lookup_field", "pk")
    row = model._default_manager.order_by("-pk").first() if model is not None else None
    return None if row is None else str(getattr(row, field))


def _fill(route: str, value: str) -> str:
    """The route with its one group, which may hold groups of its own, replaced by the value."""
    begin = route.index("(?P<")
    depth = 0
    for position in range(begin, len(route)):
        depth += {"(": 1, ")": -1}.get(route[position], 0)
        if depth == 0:
            return route[:begin] + value + route[position + 1 :]
    raise ValueError(route)


def _console_addresses() -> Iterator[str]:
    """The overview, the explorer, every list, and of every list the newest row's page."""
    yield reverse("admin:index")
    yield from _with_narrowed(reverse("admin:fairness"))
    for model in admin.site._registry:  # noqa: SLF001 - there is no other list of the pages
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield from _with_narrowed(reverse(f"{name}_changelist"))
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])


def _with_narrowed(address: str) -> Iterator[str]:
    """The list, and what is asked of it besides."""
    noon = f"{datetime.now(UTC) - timedelta(hours=12):%Y-%m-%dT%H:%M:%SZ}"
    yield address
    for query in NARROWED.get(address, ()):
        yield f"{address}?{query.format(noon=noon)}"


def _template(address: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", address)
