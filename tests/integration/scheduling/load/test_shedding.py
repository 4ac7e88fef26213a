"""Shedding under load: jobs are refused or delayed by rule, repeats are answered, and features are switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.load import duty
from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.duty import LoadWatch
from scheduling.load.exceptions import FeatureOffError, OverloadedError
from scheduling.load.models import LoadState, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.service import force_level
from scheduling.load.shedding import DELAYED
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.models import Plan, Tenant
from tenants.requests.features import require_feature
from tests.integration.scheduling.job_helpers import submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def sandboxed(acme: Tenant) -> Tenant:
    with all_tenants():
        acme.plan = Plan.objects.filter(tier__slug="sandbox")[0]
        acme.save(update_fields=["plan"])
    return acme


@pytest.fixture
def overloaded(db: None) -> Iterator[None]:
    """Put the platform under load, with all jobs of the tier sandbox refused."""
    put(Level.OVERLOADED, {"sandbox": 0})
    return


def put(level: Level, admitted: dict[str, int]) -> None:
    with all_tenants():
        now = timezone.now()
        values = {"level": level, "since": now, "measured_at": now, "admitted": admitted}
        LoadState.objects.update_or_create(scope="platform", defaults=values)


def only(**values: Any) -> SheddingRule:
    """Replace all rules by one."""
    with all_tenants():
        SheddingRule.objects.all().delete()
        return SHEDDING_RULES.save(SheddingRule(), {"name": "only", "position": 1, "from_level": 2, **values})


def count_shed(action: str) -> float:
    labels = {"kind": "noop", "tier": "sandbox", "action": action}
    return REGISTRY.get_sample_value("jobsplatform_jobs_shed_total", labels) or 0.0


def ask(tenant: Tenant, kind: str = "noop", **options: Any) -> Any:
    return submit_job(tenant=tenant, request=JobRequest(kind=kind, **options), is_rate_limited=True)


@pytest.mark.usefixtures("overloaded")
def test_job_of_a_refused_tier_is_refused_with_a_time_to_return(sandboxed: Tenant) -> None:
    with pytest.raises(OverloadedError) as refused:
        ask(sandboxed)
    assert refused.value.retry_after_seconds
    with all_tenants():
        assert not Job.objects.exists()


@pytest.mark.usefixtures("overloaded")
def test_jobs_of_other_tiers_and_of_the_platform_are_accepted(sandboxed: Tenant, globex: Tenant) -> None:
    with all_tenants():
        globex.plan = Plan.objects.filter(tier__slug="professional")[0]
        globex.save(update_fields=["plan"])
    assert ask(globex).created
    assert len(submit(sandboxed, 2)) == 2


def test_nothing_is_shed_at_a_normal_load(sandboxed: Tenant) -> None:
    put(Level.NORMAL, {"sandbox": 0})
    assert ask(sandboxed).created


def test_repeated_key_is_answered_under_load(sandboxed: Tenant) -> None:
    job = ask(sandboxed, idempotency_key="one").job
    put(Level.OVERLOADED, {"sandbox": 0})
    again = ask(sandboxed, idempotency_key="one")
    assert (again.job.pk, again.created) == (job.pk, False)


@pytest.mark.usefixtures("overloaded")
def test_essential_kind_is_accepted_before_the_rules_behind_it(sandboxed: Tenant) -> None:
    with all_tenants():
        SHEDDING_RULES.save(SheddingRule(), {"name": "x", "position": 1, "action": "essential", "kind": "sleep"})
    assert ask(sandboxed, kind="sleep", payload={"seconds": 0}).created
    with pytest.raises(OverloadedError):
        ask(sandboxed)


@pytest.mark.usefixtures("overloaded")
def test_bulk_submission_reports_each_refusal(sandboxed: Tenant) -> None:
    only(action="refuse", kind="noop")
    requests = [JobRequest(kind="noop"), JobRequest(kind="sleep", payload={"seconds": 0})]
    bulk = submit_jobs(tenant=sandboxed, requests=requests, is_rate_limited=True)
    assert [index for index, _ in bulk.accepted] == [1]
    assert [(index, type(error)) for index, error in bulk.rejected] == [(0, OverloadedError)]


@pytest.mark.usefixtures("overloaded")
def test_delayed_job_is_accepted_for_later_and_says_so(sandboxed: Tenant) -> None:
    only(action="delay", delay_seconds=60)
    job = ask(sandboxed, meta={"order": 7}).job
    assert (job.state, job.meta) == ("scheduled", {"order": 7, DELAYED: 60})
    assert job.run_at > timezone.now() + timedelta(seconds=50)
    later = timezone.now() + timedelta(hours=1)
    assert ask(sandboxed, run_at=later).job.meta == {}


@pytest.mark.usefixtures("overloaded")
def test_shed_jobs_are_counted_by_action(sandboxed: Tenant) -> None:
    before = count_shed("refuse"), count_shed("delay")
    with pytest.raises(OverloadedError):
        ask(sandboxed)
    only(action="delay", delay_seconds=60)
    ask(sandboxed)
    ask(sandboxed, run_at=timezone.now() + timedelta(hours=1))
    assert (count_shed("refuse"), count_shed("delay")) == (before[0] + 1, before[1] + 1)


@pytest.mark.usefixtures("overloaded")
def test_part_of_the_jobs_is_refused(sandboxed: Tenant) -> None:
    put(Level.OVERLOADED, {"sandbox": 50})
    bulk = submit_jobs(tenant=sandboxed, requests=[JobRequest(kind="noop")] * 100, is_rate_limited=True)
    assert 10 < len(bulk.accepted) < 90


def test_watch_refuses_the_lowest_tier_first(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "read_surroundings", lambda: {"disk": 0.5})
    monkeypatch.setattr(duty, "read_database", lambda: {"platform": {}})

    def measure() -> dict[str, int]:
        LoadWatch().take_turn()
        with all_tenants():
            row = LoadState.objects.get(scope="platform")
            LoadState.objects.update(measured_at=timezone.now() - timedelta(seconds=4))
        return dict(row.admitted)

    measure()
    seen = [measure() for _ in range(3)]
    assert seen[0].keys() == {"sandbox"}
    assert (seen[-1]["sandbox"], "team" in seen[-1], "professional" in seen[-1]) == (0, True, False)
    monkeypatch.setattr(duty, "read_surroundings", lambda: {"disk": 90.0})
    for _ in range(15):
        left = measure()
    assert left == {}


def test_feature_is_off_from_its_state_on(acme: Tenant, staff: User, client: Client) -> None:
    put(Level.BUSY, {})
    require_feature("what_if")
    put(Level.OVERLOADED, {})
    with pytest.raises(FeatureOffError):
        require_feature("what_if")
    client.force_login(staff)
    facets = client.get(reverse("admin:scheduling_job_facets"))
    assert "switched off" in facets.content.decode()
    exported = client.post(reverse("admin:scheduling_job_export"), {"format": "csv"})
    assert exported.status_code == 503


def test_feature_is_off_when_a_pool_is_overloaded(acme: Tenant) -> None:
    LoadWatch().take_turn()
    force_level(scope="pool:default", level=Level.OVERLOADED, reason="rehearsal")
    with pytest.raises(FeatureOffError):
        require_feature("exports")


@pytest.mark.usefixtures("overloaded")
def test_api_answers_503_with_code_and_retry_after(
    sandboxed: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    answer = api_client(sandboxed).post("/api/v1/jobs/", {"kind": "noop"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert 5 <= int(answer.headers["Retry-After"]) <= 15


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"action": "off"}, "feature"),
        ({"action": "refuse", "feature": "exports"}, "feature"),
        ({"action": "delay"}, "delay_seconds"),
        ({"action": "essential"}, "kind"),
        ({"action": "refuse", "kind": "none"}, "kind"),
        ({"action": "off", "feature": "exports", "kind": "noop"}, "kind"),
    ],
)
def test_rule_that_does_not_do_what_it_says_is_refused(values: dict[str, Any], field: str, db: None) -> None:
    with pytest.raises(FieldInvalidError) as refused, all_tenants():
        SHEDDING_RULES.save(SheddingRule(), {"name": "x", "position": 99, "from_level": 2, **values})
    assert refused.value.errors[0]["field"] == field
