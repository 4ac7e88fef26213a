"""Retry policy: by kind and plan, and limited by the deadline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.exceptions import RetriesNotAllowedError
from scheduling.execution import policy, settlement_builders
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.dead_letters.service import requeue_dead_letter
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.kit import registry
from scheduling.models import DeadLetter, JobDue, JobEvent
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import Plan, PlanVersion, Tenant
from tenants.plans.service import PLANS, update_plan
from tests.integration.scheduling.job_helpers import Start, Tick, begin, fail, reload, submit

pytestmark = pytest.mark.django_db


def rule(tenant: Tenant, **rules: Any) -> None:
    """Replace the rules of the tenant's plan by these."""
    update_plan(plan=tenant.plan, changes={"retry_rules": rules})
    tenant.plan.refresh_from_db()


@pytest.mark.parametrize(
    ("rules", "asked", "expected"),
    [
        ({}, None, 3),
        ({}, 1, 1),
        ({"noop": {"max_retries": 1}}, None, 1),
        ({"noop": {"max_retries": 1}}, 0, 0),
        ({"noop": {"max_retries": 9}}, None, 3),  # a maximum raises nothing
        ({"*": {"max_retries": 2}}, None, 2),
        ({"*": {"max_retries": 0}, "noop": {"max_retries": 2}}, None, 2),
        ({"sleep": {"max_retries": 0}}, None, 3),
    ],
)
def test_max_retries_are_limited_by_kind_and_plan(
    acme: Tenant, rules: dict[str, Any], asked: int | None, expected: int
) -> None:
    rule(acme, **rules)
    job = submit_job(tenant=acme, request=JobRequest(kind="noop", max_retries=asked)).job
    assert job.max_retries == expected


@pytest.mark.parametrize(("rules", "asked"), [({}, 4), ({"noop": {"max_retries": 1}}, 2), ({}, -1)])
def test_max_retries_beyond_the_limit_are_refused(acme: Tenant, rules: dict[str, Any], asked: int) -> None:
    rule(acme, **rules)
    with pytest.raises(RetriesNotAllowedError) as refused:
        submit_job(tenant=acme, request=JobRequest(kind="noop", max_retries=asked))
    assert (refused.value.code, refused.value.errors[0]["field"]) == ("max_retries_not_allowed", "max_retries")


def test_max_retries_are_fixed_at_submission_and_delays_at_each_start(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    rule(acme, noop={"max_retries": 2})
    (job,) = submit(acme)
    rule(acme, noop={"max_retries": 0, "delays_seconds": [7, 9]}, **{"*": {"delays_seconds": [1]}})
    tick()
    started = begin(start, job)
    retries = policy.retry_policy(started, registry.get("noop"))
    assert (retries.max_retries, list(retries.delays_seconds)) == (2, [7, 9])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, [60.0, 120.0, 240.0]),
        ({"*": {"delays_seconds": [5]}}, [5]),
        ({"noop": {"max_retries": 1}}, [60.0, 120.0, 240.0]),
    ],
)
def test_delays_are_the_plans_or_else_the_kinds(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, rules: dict[str, Any], expected: list[float]
) -> None:
    rule(acme, **rules)
    (job,) = submit(acme)
    tick()
    assert list(policy.retry_policy(begin(start, job), registry.get("noop")).delays_seconds) == expected


def test_retry_rules_are_part_of_a_plans_versions(acme: Tenant) -> None:
    rule(acme, noop={"max_retries": 1})
    with all_tenants():
        newest = PlanVersion.objects.filter(plan=acme.plan).latest("number")
        assert newest.after == {"retry_rules.noop": {"max_retries": 1}}
    PLANS.roll_back(acme.plan, newest.number - 1, reason="as it was")
    with all_tenants():
        assert Plan.objects.get(pk=acme.plan.pk).retry_rules == {}


@pytest.mark.parametrize("rules", [[], {"noop": {}}, {"noop": {"max_retries": 101}}, {"no op": {"max_retries": 1}}])
def test_invalid_retry_rule_is_refused(acme: Tenant, rules: Any) -> None:
    with pytest.raises(FieldInvalidError, match="retry_rules"):
        update_plan(plan=acme.plan, changes={"retry_rules": rules})


@pytest.mark.parametrize(
    ("deadline_seconds", "wait_seconds", "state", "reason"),
    [
        (600, 60.0, JobState.RETRYABLE, None),  # before the deadline
        (30, 60.0, JobState.DISCARDED, DeadLetter.Reason.RETRY_PAST_DEADLINE),  # too late
        (30, 0.0, JobState.RETRYABLE, None),  # an immediate retry is early enough
        (600, 900.0, JobState.DISCARDED, DeadLetter.Reason.RETRY_PAST_DEADLINE),  # the server requests too long a delay
        (None, 86_400.0, JobState.RETRYABLE, None),  # without a deadline no retry is too late
    ],
)
def test_retry_after_the_deadline_is_not_scheduled(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    deadline_seconds: int | None,
    wait_seconds: float,
    state: JobState,
    reason: str | None,
) -> None:
    deadline = None if deadline_seconds is None else timezone.now() + timedelta(seconds=deadline_seconds)
    (job,) = submit(acme, deadline=deadline)
    tick()
    started = begin(start, job)
    failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=False, retry_after_seconds=wait_seconds)
    settle(
        [
            settlement_builders.failed(
                started.execution_id,
                started.fence,
                failure,
                failed_attempts=1,
                policy=settlement_builders.RetryPolicy(),
            )
        ]
    )
    ended = reload(job)
    assert (ended.state, ended.error_type, ended.attempt) == (state, "ValueError", 1)
    with all_tenants():
        letters = [(letter.reason, letter.error_message) for letter in DeadLetter.objects.all()]
        assert letters == ([(reason, "no")] if reason else [])
        assert JobDue.objects.exists() is (state == JobState.RETRYABLE)
        event = JobEvent.objects.filter(job=job, name="execution.failed").get()
    assert (event.state, event.data.get("cause")) == (state, reason)
    assert ("retry_in_seconds" in event.data) is (reason is None)


def test_merged_settlements_apply_the_deadline_of_each_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    early, late = (
        submit(acme, deadline=timezone.now() + timedelta(hours=1)),
        submit(acme, deadline=timezone.now() + timedelta(seconds=30)),
    )
    tick()
    failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=False)
    settle(
        [
            settlement_builders.failed(
                s.execution_id, s.fence, failure, failed_attempts=1, policy=settlement_builders.RetryPolicy()
            )
            for s in (begin(start, job) for job in [*early, *late])
        ]
    )
    assert [reload(job).state for job in [*early, *late]] == [JobState.RETRYABLE, JobState.DISCARDED]


def test_requeued_job_has_the_retries_that_its_plan_allows(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    fail(start, job, is_permanent=True)
    rule(acme, noop={"max_retries": 1})
    with tenant_context(acme):
        letter = DeadLetter.objects.get()
        assert requeue_dead_letter(dead_letter_id=letter.pk).max_retries == 1
