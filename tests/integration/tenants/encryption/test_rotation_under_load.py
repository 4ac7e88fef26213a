"""Rotation of master key and data keys while other threads submit jobs and read them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connection

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.encryption import data_keys
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.service import replace_keys, rewrap_keys
from tenants.models import Tenant
from tests.integration.tenants.encryption.test_encryption import keys_of, master
from tests.platform_settings import ChangePlatformSettings

SECONDS = 4.0
LETTERS = "abcdef"


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


class Load:
    """Threads that submit and read jobs of two tenants until the thread that rotates keys ends."""

    def __init__(self, tenants: list[Tenant], change: ChangePlatformSettings) -> None:
        self.tenants, self.change = tenants, change
        self.stop = threading.Event()
        self.submitted: dict[UUID, list[tuple[UUID, int]]] = {tenant.pk: [] for tenant in tenants}

    def submit(self, tenant: Tenant) -> int:
        own = self.submitted[tenant.pk]
        while not self.stop.is_set():
            number = len(own)
            own.append((submit_job(tenant=tenant, request=JobRequest("noop", {"n": number})).job.pk, number))
        return len(own)

    def read(self, tenant: Tenant) -> int:
        count = 0
        while not self.stop.is_set():
            own = self.submitted[tenant.pk]
            for pk, number in own[:2] + own[-2:]:
                with tenant_context(tenant):
                    assert Job.objects.get(pk=pk).payload == {"n": number}
                count += 1
        return count

    def rotate(self, tenant: Tenant) -> int:
        """Rotate both kinds of keys of all tenants; a former master key is kept for one round longer."""
        rounds, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            new, former, before = (master(LETTERS[(rounds + back) % len(LETTERS)]) for back in (2, 1, 0))
            self.change(ENCRYPTION_MASTER_KEYS=[former, new, before])
            self.change(ENCRYPTION_MASTER_KEYS=[new, former, before])
            rewrap_keys()
            replace_keys()
            rounds += 1
        return rounds

    def run(self) -> list[int]:
        """Return how many jobs each thread has submitted or read, and the number of rotations at the end."""
        first, second = self.tenants
        calls = [(self.submit, first), (self.submit, second), (self.read, first), (self.read, second)]
        with ThreadPoolExecutor(5) as pool:
            futures = [pool.submit(self._do, *call) for call in [*calls, (self.rotate, first)]]
            return [future.result() for future in futures]

    def _do(self, work: Callable[[Tenant], int], tenant: Tenant) -> int:
        try:
            return work(tenant)
        finally:
            self.stop.set()
            connection.close()


@pytest.mark.django_db(transaction=True)
def test_rotation_loses_no_value_while_jobs_are_submitted_and_read(
    acme: Tenant, globex: Tenant, change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Caches end all the time, so that keys are read as often as by many processes.
    monkeypatch.setattr(data_keys, "KEPT_SECONDS", 0.05)
    load = Load([acme, globex], change_platform_settings)
    *counts, rounds = load.run()
    assert all(counts)
    assert rounds > 1
    forget_keys()
    for tenant in (acme, globex):
        with tenant_context(tenant):
            rows = {job.pk: job.payload["n"] for job in Job.objects.all()}
        assert rows == dict(load.submitted[tenant.pk])
        assert len(keys_of(tenant)) == rounds + 1
        assert {row.master_key_id for row in keys_of(tenant)} == {data_keys.master_keys().current_id}
        assert [row.retired_at for row in keys_of(tenant)].count(None) == 1
