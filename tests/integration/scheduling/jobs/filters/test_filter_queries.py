"""Filters: each field of the grammar finds its jobs and no others."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from scheduling.jobs.batches.service import create_batch
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.filters import FIELDS, parse
from scheduling.jobs.filters.matching import JobFacts, matches_filter, parse_matchable
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.plain_values import plain_only

pytestmark = pytest.mark.django_db
KEYS = {"concurrency_key": "account-7", "unique_key": "sync-7"}


def found(text: str, now: datetime | None = None) -> set[str]:
    """Return the kinds and keys of all tenants' jobs that match."""
    with all_tenants():
        jobs = parse(text).apply(Job.objects.all(), now=now or timezone.now())
        return {str(key) for key in jobs.values_list("idempotency_key", flat=True)}


@pytest.fixture
def jobs(acme: Tenant, globex: Tenant) -> dict[str, Job]:
    """Create three jobs that differ in everything; `late` is over an hour older than the others."""
    with tenant_context(acme):
        batch = create_batch(tenant=acme, label="b", kind="noop", total=1)
        first = submit_job(
            tenant=acme,
            request=JobRequest(kind="noop", idempotency_key="first", tags=("night", "eu"), fair_key="user-7", **KEYS),
            batch=batch,
        ).job
        late = submit_job(
            tenant=acme,
            request=JobRequest(
                kind="sleep", payload={"seconds": 1}, idempotency_key="late", run_at=timezone.now() + timedelta(hours=1)
            ),
        ).job
        Job.objects.filter(pk=late.pk).update(parent_id=first.pk)
        Job.objects.filter(pk=first.pk).update(
            error_type="ConnectTimeout", error_fingerprint="f" * 16, attempt=2, priority=7
        )
    with tenant_context(globex):
        other = submit_job(tenant=globex, request=JobRequest(kind="noop", idempotency_key="other", tags=("eu",))).job
        cancel_job(job_id=other.pk, reason="")
    return {"first": first, "late": late, "other": other}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"first", "late", "other"}),
        ("state:available", {"first"}),
        ("state:scheduled", {"late"}),
        ("state:cancelled,scheduled", {"late", "other"}),
        ("-state:cancelled", {"first", "late"}),
        ("state:available state:cancelled", set()),
        ("state:discarded", set()),
        ("kind:noop", {"first", "other"}),
        ("-kind:noop", {"late"}),
        ("queue:nowhere", set()),
        ("tenant:acme", {"first", "late"}),
        ("-tenant:acme", {"other"}),
        ("tenant:acme,globex kind:noop", {"first", "other"}),
        ("tenant:unknown", set()),
        ("tag:eu", {"first", "other"}),
        ("tag:eu tag:night", {"first"}),
        ("tag:night,day", {"first"}),
        ("-tag:night", {"late", "other"}),
        ("error:timeout", {"first"}),
        ("error:ffffffffffffffff", {"first"}),
        ("-error:timeout", {"late", "other"}),
        ("error:100%", set()),
        ("fair_key:user-7", {"first"}),
        ('fair_key:"" kind:noop', {"other"}),
        ("concurrency_key:account-7", {"first"}),
        ("concurrency_key:account-7,account-8 -kind:sleep", {"first"}),
        ("-concurrency_key:account-7", {"late", "other"}),
        ("concurrency_key:account", set()),
        ("unique_key:sync-7", {"first"}),
        ("-unique_key:sync-7", {"late", "other"}),
        ("key:late,other", {"late", "other"}),
        ("-key:late", {"first", "other"}),
        ("priority:>5", {"first"}),
        ("priority:<=5", {"late", "other"}),
        ("failed_attempts:2", {"first"}),
        ("failed_attempts:>2", set()),
        ("age:<1h", {"first", "late", "other"}),
        ("age:>1h", set()),
        ("-age:<1h", set()),
        ("created:>2026-01-01", {"first", "late", "other"}),
        ("created:<2001-01-01", set()),
        ("night", {"first"}),
        ("nOOp", {"first", "other"}),
        ("timeout -night", set()),
        ("user-7", {"first"}),
        ("-eu", {"late"}),
        ("late", {"late"}),
    ],
)
def test_filter_finds_its_jobs(jobs: dict[str, Job], text: str, expected: set[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind:noop",
        "-kind:noop,sleep",
        "tag:eu tag:night",
        "tag:night,day",
        "-tag:night",
        "error:timeout",
        "-error:TIMEOUT",
        "error:ffffffffffffffff",
        "error:100%",
        'fair_key:""',
        "-fair_key:user-7",
        "key:late,other",
        "-key:late",
        "priority:7,0",
        "priority:>5",
        "-priority:<=5",
        "batch:{batch}",
        "-batch:{batch}",
        "parent:{first}",
        "-parent:{first}",
        "queue:{queue}",
        "-queue:{queue} kind:noop",
    ],
)
def test_filter_judges_a_job_in_memory_as_its_row(jobs: dict[str, Job], text: str) -> None:
    first = jobs["first"]
    asked = text.format(batch=first.batch_id, first=first.pk, queue=first.queue.name)
    with all_tenants():
        rows = list(Job.objects.select_related("queue"))
    judged = {row.idempotency_key for row in rows if matches_filter(traits_of(row), parse_matchable(asked))}
    assert judged == found(asked)


def traits_of(job: Job) -> JobFacts:
    return JobFacts(
        kind=job.kind,
        queue=job.queue.name,
        tags=job.tags,
        fair_key=job.fair_key,
        key=job.idempotency_key,
        batch=job.batch_id,
        parent=job.parent_id,
        priority=job.priority,
        error_type=job.error_type,
        error_fingerprint=job.error_fingerprint,
    )


def test_jobs_are_found_by_ids(jobs: dict[str, Job]) -> None:
    first, late = jobs["first"], jobs["late"]
    assert found(f"id:{first.pk},{late.pk}") == {"first", "late"}
    assert found(f"-id:{first.pk}") == {"late", "other"}
    assert found(f"batch:{first.batch_id}") == found(str(first.pk)) == found(str(first.batch_id)) == {"first"}
    assert found(f"-batch:{first.batch_id}") == found(f"-{first.batch_id}") == {"late", "other"}
    assert found(f"parent:{first.pk}") == {"late"}


def test_jobs_are_found_by_their_queue(jobs: dict[str, Job]) -> None:
    queue = jobs["first"].queue.name
    assert "first" in found(f"queue:{queue}")
    assert "first" not in found(f"-queue:{queue}")


def test_ages_count_from_the_given_time(jobs: dict[str, Job]) -> None:
    now = timezone.now()
    assert found("age:>1h", now + timedelta(hours=2)) == {"first", "late", "other"}
    assert found("age:<1h", now + timedelta(hours=2)) == set()


def test_day_in_a_filter_covers_the_whole_day(jobs: dict[str, Job]) -> None:
    day = jobs["first"].created_at.date()
    assert "first" in found(f"created:{day}")
    assert "first" not in found(f"created:{day - timedelta(days=1)},{day + timedelta(days=1)}")


def test_filter_of_a_tenant_finds_only_its_own_jobs(jobs: dict[str, Job], acme: Tenant) -> None:
    with tenant_context(acme):
        own = parse("-state:executing").apply(Job.objects.all(), now=timezone.now())
        assert {job.idempotency_key for job in own} == {"first", "late"}
        assert not parse("tenant:globex").apply(Job.objects.all(), now=timezone.now()).exists()


@plain_only
def test_every_state_and_field_is_a_condition(jobs: dict[str, Job]) -> None:
    for field in FIELDS.values():
        found(field.example)
        found(f"-{field.example}")
    everywhere = [found(f"state:{state}") for state in JobState]
    assert set.union(*everywhere) == {"first", "late", "other"}
    assert sum(map(len, everywhere)) == 3
