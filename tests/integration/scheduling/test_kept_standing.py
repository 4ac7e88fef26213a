"""A tenant that submits job after job is asked for now and then, where it has so much room that nothing hangs on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from scheduling.exceptions import DrainingError
from scheduling.models import Drain, Job, JobReady, SchedulingEntity
from scheduling.services import quotas, tenant_standing
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import Submission, submit_job, submit_jobs
from tenants.context import all_tenants, tenant_context
from tenants.limits import month_end
from tenants.models import Tenant
from tenants.services.limits import set_tenant_limit
from tests.prepared_statements import seen_statements

# A transaction of the test's own would have begun before any submission.
pytestmark = pytest.mark.django_db(transaction=True)

NOOP = JobRequest("noop")
FAR = 2 * quotas.NEAR_JOBS


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kept for longer than a test takes; configuration as well, without the Redis that others share."""
    monkeypatch.setattr("tenants.shared_cache._read_shared", lambda name: None)
    monkeypatch.setattr("tenants.shared_cache._write_shared", lambda *_, **__: None)
    monkeypatch.setattr(tenant_standing, "KEPT_SECONDS", 60.0)
    tenant_standing._kept.clear()
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield
    tenant_standing._kept.clear()


def submit(tenant: Tenant, *, jobs: int = 1) -> list[Submission]:
    return [done for _, done in submit_jobs(tenant=tenant, requests=[NOOP] * jobs).accepted]


def looks(tenant: Tenant, *, jobs: int = 1) -> int:
    """How often a submission asks how the tenant stands."""
    with seen_statements() as seen:
        submit(tenant, jobs=jobs)
    return seen.count(tenant_standing._STANDING)


@pytest.fixture
def busy(acme: Tenant) -> Tenant:
    """A tenant far from its limit, with a line, whose limits and routes are kept."""
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=FAR, reason="test")
    submit(acme)
    tenant_standing._kept.clear()
    return acme


def test_it_is_asked_for_once(busy: Tenant) -> None:
    assert [looks(busy) for _ in range(3)] == [1, 0, 0]
    with tenant_context(busy):
        assert Job.objects.count() == JobReady.objects.count() == 4
        assert set(JobReady.objects.values_list("entity_id", flat=True)) == set(
            SchedulingEntity.objects.values_list("id", flat=True)
        )


def test_it_is_asked_for_again_after_a_moment(busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [looks(busy), looks(busy)] == [1, 0]
    monkeypatch.setattr(tenant_standing, "KEPT_SECONDS", 0.0)
    assert looks(busy) == 1


def test_it_is_asked_for_each_time_near_the_limit(acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=quotas.NEAR_JOBS + 1, reason="test")
    submit(acme)
    # Once, and once more as nobody else submits.
    assert [looks(acme), looks(acme)] == [2, 2]


def test_what_was_submitted_since_counts(busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "NEAR_JOBS", FAR - 4)
    with tenant_context(busy):
        assert quotas.Allowance.read(busy.pk, wanted=1).room == FAR - 1
        assert quotas.Allowance.read(busy.pk, wanted=1).room == FAR - 2
    tenant_standing._kept.clear()
    # One waits: two are submitted by what the first of them found, the next finds three, and the last queues up.
    assert [looks(busy) for _ in range(4)] == [1, 0, 1, 2]


def test_so_many_jobs_at_most_are_submitted_by_what_was_found(busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_standing, "MOST_JOBS", 3)
    assert [looks(busy), looks(busy), looks(busy), looks(busy)] == [1, 0, 0, 1]
    assert looks(busy, jobs=3) == 1


def test_what_is_taken_back_serves_nobody(acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=FAR, reason="test")
    with pytest.raises(ZeroDivisionError), tenant_context(acme):
        submit(acme)
        # The next one asks, and sees the line that the first one made.
        tenant_standing._kept.clear()
        submit(acme)
        raise ZeroDivisionError
    (done,) = submit(acme)
    with tenant_context(acme):
        assert SchedulingEntity.objects.filter(pk=JobReady.objects.get(job_id=done.job.pk).entity_id).exists()


def test_within_a_transaction_of_somebody_it_is_not_kept(busy: Tenant) -> None:
    with transaction.atomic(), tenant_context(busy):
        Job.objects.exists()
        assert looks(busy) == 1
    assert looks(busy) == 1


def test_a_job_is_of_the_moment_in_which_it_was_submitted(busy: Tenant) -> None:
    first, second, third = (submit(busy)[0].job for _ in range(3))
    assert first.created_at < second.created_at < third.created_at <= datetime.now(UTC)
    assert first.rank < second.rank < third.rank


def test_a_drain_is_asked_for_each_time(busy: Tenant) -> None:
    with all_tenants():
        Drain.objects.create(scope=Drain.Scope.KIND, name="noop", reason="test", started_at=timezone.now())
    for _ in range(2):
        with pytest.raises(DrainingError):
            submit_job(tenant=busy, request=NOOP)
    with all_tenants():
        Drain.objects.all().delete()
    assert [looks(busy), looks(busy)] == [1, 0]


def test_what_was_used_in_a_month_serves_nobody_in_the_next(busy: Tenant) -> None:
    assert [looks(busy), looks(busy)] == [1, 0]
    kept = tenant_standing._kept[busy.pk]
    kept.standing = replace(kept.standing, now=month_end(kept.standing.now) - timedelta(microseconds=1))
    assert looks(busy) == 1


def test_what_was_found_later_stays(busy: Tenant) -> None:
    with tenant_context(busy):
        earlier = tenant_standing.read_standing(busy.pk)
    submit(busy)
    later = tenant_standing._kept[busy.pk]
    tenant_standing._keep(busy.pk, replace(later, standing=earlier))
    assert tenant_standing._kept[busy.pk] is later


def test_one_tenant_does_not_stand_as_another(busy: Tenant, globex: Tenant) -> None:
    assert [looks(busy), looks(busy)] == [1, 0]
    (done,) = submit(globex)
    with all_tenants():
        place = JobReady.objects.get(job_id=done.job.pk)
        assert SchedulingEntity.objects.get(pk=place.entity_id).tenant_id == globex.pk


def test_nothing_is_kept_where_configuration_is_not(busy: Tenant) -> None:
    with override_settings(CONFIGURATION_CACHE_SECONDS=0):
        assert [looks(busy), looks(busy)] == [1, 1]
    assert not tenant_standing._kept
