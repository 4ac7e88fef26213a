"""The platform behind PgBouncer in transaction mode: `make pgbouncer-test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from scheduling.jobs.lifecycle import JobState
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.database.conf import APP_ALIAS
from tenants.exceptions import NoTenantError
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, submit, wait_for, wait_for_all
from tests.acceptance.pooler import PROGRAM, Pooler, running_pooler
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from tests.databases import TestDatabase

pytestmark = [
    pytest.mark.pgbouncer,
    pytest.mark.skipif(not Path(PROGRAM).exists(), reason="PgBouncer is not installed: make pgbouncer-test does it"),
]
# Fewer than the processes that need one: dispatcher, worker and three children.
POOL_SIZE = 3


@pytest.fixture
def pooler(db: None, acceptance_database: TestDatabase) -> Iterator[Pooler]:
    with running_pooler(acceptance_database.urls()["DATABASE_URL"], pool_size=POOL_SIZE) as running:
        yield running


@pytest.fixture
def pooled_platform(
    pooler: Pooler,
    shared_platform: Platform,
    acceptance_database: TestDatabase,
    acceptance_broker_url: str,
    tmp_path: Path,
) -> Iterator[Platform]:
    """Start a dispatcher and a worker that reach PostgreSQL through the pooler only."""
    shared_platform.stop()  # its worker would take jobs, too
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "jobsplatform.settings.test",
        "DATABASE_URL": pooler.url,
        "DATABASE_AUDITOR_URL": acceptance_database.urls()["DATABASE_AUDITOR_URL"],
        "DATABASE_POOLED": "true",
        "REDIS_URL": acceptance_broker_url,
        "CACHE_URL": acceptance_broker_url,
        "SECRET_KEY": settings.SECRET_KEY,
    }
    environment.pop("DATABASE_OWNER_URL", None)
    logs = tmp_path / "logs"
    logs.mkdir()
    platform = Platform(environment, logs)
    platform.restart_stopped()
    yield platform
    platform.stop()


@pytest.fixture
def through_pooler(pooler: Pooler) -> Iterator[None]:
    """Connect this process through the pooler, too."""
    entry = connections[APP_ALIAS].settings_dict
    before = entry["HOST"], entry["PORT"]
    connections[APP_ALIAS].close()
    entry["HOST"], entry["PORT"] = "127.0.0.1", pooler.port
    yield
    connections[APP_ALIAS].close()
    entry["HOST"], entry["PORT"] = before


def test_jobs_of_two_tenants_complete_and_ledger_balances(
    pooled_platform: Platform, pooler: Pooler, acme: Tenant, globex: Tenant
) -> None:
    jobs = [*submit(acme, "noop", *[{}] * 60), *submit(globex, "noop", *[{}] * 60)]
    wait_for_all(jobs)
    assert all(len(executions_of(job)) == 1 for job in jobs[::20])
    assert 1 <= pooler.server_connections() <= POOL_SIZE
    assert faults_of("ledger") == []


def test_job_of_killed_worker_completes_behind_pooler(pooled_platform: Platform, acme: Tenant) -> None:
    [job] = submit(acme, "sleep", {"seconds": 15})
    wait_for(job, JobState.EXECUTING)
    assert pooled_platform.worker is not None
    pooled_platform.worker.kill()
    pooled_platform.start_worker()
    assert wait_for(job, JobState.COMPLETED).crash_count == 1


def test_tenant_is_not_carried_over_on_shared_connection(
    through_pooler: None, pooler: Pooler, acme: Tenant, globex: Tenant
) -> None:
    submit(acme, "noop", *[{}] * 3)
    submit(globex, "noop", *[{}] * 5)
    expected = {acme.pk: 3, globex.pk: 5}

    def look(turn: int) -> int:
        tenant = (acme, globex)[turn % 2]
        try:
            with tenant_context(tenant):
                seen = Job.objects.count()
                assert set(Job.objects.values_list("tenant_id", flat=True)) == {tenant.pk}
                assert seen == expected[tenant.pk]
                if turn % 3 == 0:
                    raise LookupError("in the middle of a transaction")
        except LookupError:
            pass
        with pytest.raises(NoTenantError):
            Job.objects.count()
        # Bypass the ORM: the next connection has no tenant context either.
        with connections[APP_ALIAS].cursor() as cursor:
            cursor.execute("SELECT count(*), current_setting('app.tenant_id', true) FROM scheduling_job")
            assert cursor.fetchone() in {(0, ""), (0, None)}
        return seen

    def look_often(first: int) -> int:
        try:
            return sum(look(turn) for turn in range(first, first + 100))
        finally:
            connections[APP_ALIAS].close()

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(look_often, range(6))) == 6 * 50 * (3 + 5)
    eventually(lambda: pooler.server_connections() <= POOL_SIZE)
    with all_tenants():
        assert Job.objects.filter(tenant__in=[acme, globex]).count() == 8
