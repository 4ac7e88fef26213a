"""The benchmark of pages: it requests every route, and an error counts as a fault."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve

from benchmarks.console.addresses import NARROWED, Address, api_addresses, console_addresses
from benchmarks.console.pages import Timing, judge
from scheduling.models import Schedule
from scheduling.schedules.definitions import create_schedule
from scheduling.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.access import routes
from tests.integration.console.conftest import make_work
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.django_db


def timed(status: int, *milliseconds: float, budget_ms: float | None = None, leads_on: bool = False) -> Timing:
    return Timing(Address("/admin/", budget_ms=budget_ms, leads_on=leads_on), status, milliseconds)


@pytest.mark.parametrize(
    ("timings", "is_met"),
    [
        ([timed(200, 10.0), timed(201, 140.0)], True),
        ([timed(200, 10.0), timed(403, 0.0)], True),  # refused as expected
        ([timed(200, 250.0, budget_ms=300.0)], True),
        ([timed(302, 140.0, leads_on=True)], True),
        ([timed(302, 160.0, leads_on=True)], False),
        ([timed(302, 140.0)], False),  # redirected, so that nothing was measured
        ([timed(200, 10.0), timed(200, 160.0)], False),
        ([timed(200, 10.0), timed(404, 0.0)], False),
        ([timed(200, 10.0), timed(500, 0.0)], False),
        ([timed(403, 0.0)], False),  # nothing was measured
    ],
)
def test_sample_passes_with_quick_answers_without_faults(timings: list[Timing], is_met: bool) -> None:
    assert all(finding.is_met for finding in judge(timings)) is is_met


def test_sample_requests_every_get_of_api_and_console(acme: Tenant, staff: User) -> None:
    make_work(acme)
    create_dataset(tenant=acme, name="handbook")
    create_schedule(tenant=acme, values={"name": "nightly", "kind": "noop", "cron": "30 2 * * *"})
    request_tenant_run(name=AUDIT_TASK, tenant=acme)
    with tenant_context(acme):
        assert Schedule.objects.exists()
        asked = {address.path for address in [*api_addresses(), *console_addresses()]}
    found = {resolve(path.partition("?")[0]).route for path in asked}
    gets = {route for method, route, _ in routes.api_routes() if method == "GET"}
    # Streams end when their client disconnects, and long polls at their timeout.
    left_out = {route for route in gets - found if not route.rstrip("$").endswith(("/stream/", "/wait/"))}
    assert left_out == {"api/v1/schema/", "api/v1/docs/"}
    for queries in NARROWED.values():
        assert all(any(query.split("{")[0] in address for address in asked) for query in queries)
    client = Client(raise_request_exception=False)
    client.force_login(staff)
    with all_tenants():
        pages = [address.path for address in console_addresses() if address.body is None]
    assert {path: status for path in pages if (status := client.get(path).status_code) >= 500} == {}
