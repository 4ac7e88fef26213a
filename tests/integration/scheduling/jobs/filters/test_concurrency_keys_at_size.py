"""Jobs of a concurrency key among many: found by an index, for a tenant and for readers of all tenants."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.jobs.filters import parse
from scheduling.jobs.queries import find_jobs
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = 10_000
# A hundredth of each tenant's jobs has one key, and each of the others a key of its own.
_FILL = """
INSERT INTO scheduling_job SELECT (t.r).* FROM (
    SELECT jsonb_populate_record(j, jsonb_build_object(
        'id', uuidv7(), 'concurrency_key', CASE WHEN n %% 100 = 0 THEN 'common' ELSE 'account-' || n END)) AS r
    FROM scheduling_job j, generate_series(1, %(jobs)s) AS n WHERE j.id = %(like)s
) t
"""


@pytest.fixture
def many(transactional_db: None, acme: Tenant, globex: Tenant, django_db_setup: Any) -> None:
    for tenant in (acme, globex):
        (job,) = submit(tenant)
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(_FILL, {"jobs": JOBS, "like": job.pk})
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute("ANALYZE scheduling_job")


def plan_of(text: str, scope: AbstractContextManager[Any]) -> str:
    with scope:
        rows = parse(text).apply(Job.objects.order_by("-pk"), now=timezone.now())
        return str(rows[:26].explain())


def test_jobs_of_a_key_are_found_by_its_index(many: None, acme: Tenant) -> None:
    for key in ("common", "account-7", "absent"):
        for text in (f"concurrency_key:{key}", f"concurrency_key:{key} age:<1h"):
            plans = [plan_of(text, tenant_context(acme)), plan_of(f"{text} tenant:acme", all_tenants())]
            if key != "common":  # for that one, readers of all tenants may look through the newest jobs
                plans.append(plan_of(text, all_tenants()))
            for plan in plans:
                assert "job_keyed" in plan, (text, plan)
                assert "Seq Scan on scheduling_job" not in plan, (text, plan)
    assert "Sort" not in plan_of("concurrency_key:common", tenant_context(acme))


def test_only_the_key_itself_needs_no_scan(acme: Tenant) -> None:
    assert not parse("concurrency_key:x age:<1h").needs_scan
    for text in ("concurrency_key:x kind:noop", "concurrency_key:x,y", "-concurrency_key:x", "unique_key:x"):
        assert parse(text).needs_scan, text
    (job,) = submit(acme, concurrency_key="x", unique_key="y")
    with tenant_context(acme):
        assert [found.pk for found in find_jobs(parse("concurrency_key:x unique_key:y"))] == [job.pk]
