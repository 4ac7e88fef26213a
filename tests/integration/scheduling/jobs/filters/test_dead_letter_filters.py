"""Conditions on dead letters: applied to jobs, and to the letters themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.jobs.dead_letters.queries import find_dead_letters
from scheduling.jobs.filters import FIELDS, JobFilter, parse
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import find_jobs
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.plain_values import plain_only

pytestmark = pytest.mark.django_db
CAUSE = "c" * 16


@pytest.fixture
def letters(acme: Tenant, globex: Tenant) -> None:
    """Create four jobs, of which all but `alive` have a dead letter."""
    rows = [
        (acme, "waiting", "noop", DeadLetter.Reason.PERMANENT_ERROR, CAUSE, None),
        (acme, "requeued", "noop", DeadLetter.Reason.ATTEMPTS_EXHAUSTED, CAUSE, timezone.now()),
        (globex, "foreign", "noop", DeadLetter.Reason.DISCARDED, "d" * 16, None),
    ]
    submit(acme, tags=("alive",))
    for tenant, tag, kind, reason, fingerprint, requeued_at in rows:
        (job,) = submit(tenant, kind=kind, tags=(tag,))
        with tenant_context(tenant):
            Job.objects.filter(pk=job.pk).update(
                state=JobState.DISCARDED, error_type="ConnectTimeout", error_fingerprint=fingerprint
            )
            DeadLetter.objects.create(
                tenant=tenant,
                job=job,
                kind=kind,
                reason=reason,
                error_type="ConnectTimeout",
                error_fingerprint=fingerprint,
                created_at=timezone.now(),
                requeued_at=requeued_at,
            )


def tags_of_jobs(job_filter: JobFilter) -> set[str]:
    with all_tenants():
        return {job.tags[0] for job in find_jobs(job_filter)}


def tags_of_letters(job_filter: JobFilter) -> set[str]:
    with all_tenants():
        return {letter.job.tags[0] for letter in find_dead_letters(job_filter).select_related("job")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requeued:no", {"waiting", "foreign"}),
        ("requeued:yes", {"requeued"}),
        ("requeued:yes,no", {"waiting", "requeued", "foreign"}),
        ("dead_letter:permanent_error,discarded", {"waiting", "foreign"}),
        (f"fingerprint:{CAUSE}", {"waiting", "requeued"}),
        (f"fingerprint:{CAUSE} requeued:no kind:noop", {"waiting"}),
        (f"fingerprint:{CAUSE} kind:sleep", set()),
        (f"-fingerprint:{CAUSE} requeued:no", {"foreign"}),
        ("died:>2026-01-01 tenant:acme state:discarded", {"waiting", "requeued"}),
        ("died:<2026-01-01", set()),
        ("requeued:no state:available", set()),
        ("requeued:no tag:waiting", {"waiting"}),
        ("requeued:no -tag:waiting -tenant:acme", {"foreign"}),
        ("requeued:no error:connect age:<1h", {"waiting", "foreign"}),
        ("requeued:no waiting", {"waiting"}),
    ],
)
def test_condition_on_letters_means_the_same_for_jobs_and_letters(letters: None, text: str, expected: set[str]) -> None:
    assert tags_of_jobs(parse(text)) == expected
    assert tags_of_letters(parse(text)) == expected


def test_negated_condition_on_letters_finds_jobs_without_one(letters: None) -> None:
    assert tags_of_jobs(parse("-requeued:no")) == {"alive", "requeued"}
    assert tags_of_jobs(parse(f"-fingerprint:{CAUSE} -dead_letter:discarded")) == {"alive"}
    assert tags_of_letters(parse("-requeued:no")) == {"requeued"}


@plain_only
def test_every_field_is_a_condition_on_letters(letters: None) -> None:
    for field in FIELDS.values():
        tags_of_letters(parse(field.example))
        tags_of_letters(parse(f"-{field.example}"))
    assert tags_of_letters(JobFilter()) == {"waiting", "requeued", "foreign"}


def test_parameters_find_the_same_as_the_written_filter(letters: None) -> None:
    now = timezone.now()
    of_parameters = JobFilter.of(
        kind=["noop", "sleep"],
        fingerprint=CAUSE,
        requeued="no",
        died_after=now - timedelta(hours=1),
        died_before=now + timedelta(hours=1),
        tag=["waiting"],
        error="timeout",
    )
    assert tags_of_jobs(of_parameters) == tags_of_letters(of_parameters) == {"waiting"}
    assert tags_of_jobs(parse(of_parameters.text)) == {"waiting"}
    assert tags_of_jobs(JobFilter.of(died_before=now - timedelta(hours=1))) == set()
