"""Erasure races: a concurrent reinstatement, and an erasure that fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

import pytest
from django.db import connection, transaction

from scheduling.exceptions import OptionInvalidError
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.upkeep import tasks
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.erasure.requests import request_erasure
from tenants.exceptions import ErasureOpenError
from tenants.models import ErasureStatus, Tenant, TenantErasure, TenantStatus
from tenants.tenancy.service import create_tenant, reinstate_tenant, suspend_tenant
from tests.auditing import audit_once
from tests.integration.scheduling.job_helpers import is_another_waiting, wait_until
from tests.platform_settings import ChangePlatformSettings


@pytest.fixture
def no_grace(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)


def ask(slug: str) -> TenantErasure:
    tenant = suspend_tenant(tenant=create_tenant(slug=slug, plan="team"), reason="left")
    return request_erasure(tenant=tenant, reason="asked for", confirm=slug)


@pytest.mark.django_db(transaction=True)
def test_tenant_is_not_reinstated_beside_a_new_erasure(transactional_db: None) -> None:
    tenant = suspend_tenant(tenant=create_tenant(slug="leaving", plan="team"), reason="left")

    def reinstate() -> str:
        try:
            reinstate_tenant(tenant=tenant)
        except ErasureOpenError as refusal:
            return refusal.code
        finally:
            connection.close()
        return "reinstated"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            request_erasure(tenant=tenant, reason="asked for", confirm="leaving")
            answer = pool.submit(reinstate)
            wait_until(is_another_waiting)
        assert answer.result(timeout=20) == ErasureOpenError.code
    with all_tenants():
        assert Tenant.objects.get(pk=tenant.pk).status == TenantStatus.SUSPENDED


@pytest.mark.django_db(transaction=True)
def test_failing_erasure_delays_no_other(no_grace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = ask("broken"), ask("sound")
    advance = tasks.advance

    def advance_or_fail(erasure_id: UUID, *, most: int) -> bool:
        if erasure_id == broken.pk:
            raise RuntimeError("the storage is away")
        return advance(erasure_id, most=most)

    monkeypatch.setattr(tasks, "advance", advance_or_fail)
    run_upkeep(name="erasures")
    audit_once()
    run = run_upkeep(name="erasures")
    assert run.outcome == "failed"
    assert f"Erasure {broken.pk}: RuntimeError: the storage is away" in run.messages
    with all_tenants():
        assert TenantErasure.objects.get(pk=sound.pk).status == ErasureStatus.COMPLETED


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["run_at", "deadline"])
def test_job_time_out_of_range_is_refused(name: str, acme: Tenant) -> None:
    late = {name: datetime.fromisoformat("9999-12-31T23:59:59-14:00")}
    with pytest.raises(OptionInvalidError):
        submit_job(tenant=acme, request=JobRequest(kind="noop", payload={}, **late))
