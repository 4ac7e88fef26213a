"""Controls on the real tables: what is held, explained, overridden, previewed and reported."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.controls.exceptions import ControlFailedError, NotHeldByControlError
from scheduling.controls.models import ControlHold
from scheduling.controls.rules import Checkpoint
from scheduling.controls.runs import checked_run
from scheduling.controls.service import CONTROLS, override_controls, preview_control
from scheduling.execution.settlement import Settlement
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.suspension import resume_job, wake_due
from scheduling.kit.http.errors import HostRefusedError
from scheduling.kit.http.policy import current_policy
from scheduling.kit.http.targets import read_target
from scheduling.models import ControlRule, Job, JobSuspended, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError, ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, begin, in_flight, reasons_of, reload, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
CARD = "4111 1111 1111 1111"


def control(rule: str, checkpoint: str = "submission", *, tenant: Tenant | None = None, **parameters: Any) -> Any:
    values = {"name": f"{rule} {uuid4().hex[:8]}", "rule": rule, "checkpoint": checkpoint, "may_hold_all": True}
    with tenant_context(tenant) if tenant else all_tenants():
        return CONTROLS.save(ControlRule(), values | {"parameters": parameters})


def codes_of(job: Job) -> list[str]:
    with tenant_context(job.tenant):
        return [reason.code for reason in reasons_of(reload(job))]


def entries(action: str = "control.failed") -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


def override(job: Job, reason: str = "agreed") -> Job:
    with tenant_context(job.tenant):
        return override_controls(job_id=job.pk, reason=reason)


def test_failing_job_is_accepted_and_held_until_it_is_overridden(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    row = control("payload_detector", detect=["card", "key"])
    held, free = submit(acme, payload={"note": CARD})[0], submit(acme, payload={"note": "none"})[0]
    assert [reload(job).state for job in (held, free)] == ["suspended", "available"]
    with tenant_context(acme):
        (reason,) = reasons_of(reload(held))
    assert reason.code == "control_failed"
    assert row.name in reason.detail
    assert CARD not in reason.detail
    (entry,) = entries()
    assert (entry.target_id, entry.tenant_id) == (str(held.pk), acme.pk)
    assert CARD not in json.dumps(entry.after)
    tick()
    assert [job.pk for job in in_flight()] == [free.pk]
    with tenant_context(acme), pytest.raises(ControlFailedError):
        resume_job(job_id=held.pk)
    with pytest.raises(ReasonRequiredError):
        override(held, " ")
    assert override(held).state == "available"
    with pytest.raises(NotHeldByControlError):
        override(held)
    tick()
    assert {job.pk for job in in_flight()} == {held.pk, free.pk}
    (entry,) = entries("control.overridden")
    assert (entry.reason, entry.before["controls"][0]["name"]) == ("agreed", row.name)
    with all_tenants():
        assert not faults_of("jobs", "counters")


@pytest.mark.parametrize(
    ("rule", "parameters", "failing", "passing"),
    [
        ("required_tags", {"tags": ["reviewed"]}, {}, {"tags": ["reviewed"]}),
        (
            "required_tags",
            {"labels": {"class": ["public"]}},
            {"meta": {"class": "secret"}},
            {"meta": {"class": "public"}},
        ),
        ("allowed_kinds", {"kinds": ["sleep"]}, {}, {"kind": "sleep", "payload": {"seconds": 0}}),
        ("payload_detector", {"detect": ["email"]}, {"payload": {"a": "me@example.com"}}, {}),
    ],
)
def test_planted_violation_is_held_and_others_run(
    acme: Tenant, rule: str, parameters: Any, failing: Any, passing: Any
) -> None:
    control(rule, **parameters)
    assert reload(submit(acme, **failing)[0]).state == "suspended"
    assert reload(submit(acme, **passing)[0]).state == "available"
    assert [entry.after["controls"][0]["rule"] for entry in entries()] == [rule]


def test_control_of_a_tenant_does_not_hold_jobs_of_others(acme: Tenant, globex: Tenant) -> None:
    control("required_tags", tenant=acme, tags=["x"])
    assert [reload(submit(tenant)[0]).state for tenant in (acme, globex)] == ["suspended", "available"]


def test_jobs_that_are_submitted_together_are_held_one_by_one(acme: Tenant) -> None:
    control("payload_detector", detect=["card"])
    jobs = (
        submit(acme, 3)
        + submit(acme, 2, payload={"card": CARD})
        + submit(acme, concurrency_key="k", payload={"c": CARD})
    )
    assert [reload(job).state for job in jobs] == ["available"] * 3 + ["suspended"] * 3
    with all_tenants():
        assert set(ControlHold.objects.values_list("job_id", flat=True)) == {job.pk for job in jobs[3:]}
        assert not faults_of("jobs", "counters")


def test_scheduled_job_that_is_overridden_still_starts_at_its_time(acme: Tenant) -> None:
    control("required_tags", tags=["x"])
    (job,) = submit(acme, run_at=timezone.now() + timedelta(hours=1))
    assert codes_of(job) == ["control_failed"]
    assert override(job).state == "suspended"
    assert codes_of(job) == ["scheduled"]
    with all_tenants():
        JobSuspended.objects.update(wake_at=Now())
        assert wake_due(10) == 1
    assert reload(job).state == "available"


def test_start_in_another_region_is_held_once_and_exempt_after_the_override(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    (job,) = submit(acme)
    control("key_residency", "start", regions=["eu"])
    tick()
    assert (reload(job).state, codes_of(job)) == ("suspended", ["control_failed"])
    override(job)
    tick()
    assert [one.pk for one in in_flight()] == [job.pk]
    assert len(entries()) == 1
    with all_tenants():
        # As if its worker had been started in another region.
        WorkerPool.objects.filter(name="default").update(region="eu")
    (inside,) = submit(acme)
    tick()
    assert {one.pk for one in in_flight()} == {job.pk, inside.pk}


def test_maintenance_window_holds_the_start_until_its_end(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    row = control("maintenance_window", "start", days=[0, 1, 2, 3, 4, 5, 6])
    (job,) = submit(acme)
    tick()
    assert codes_of(job) == ["control_failed"]
    with all_tenants():
        place = JobSuspended.objects.get(job_id=job.pk)
        assert place.wake_at is not None
        CONTROLS.save(row, {"is_enabled": False})
        JobSuspended.objects.update(wake_at=Now())
        assert wake_due(10) == 1
    tick()
    assert [one.pk for one in in_flight()] == [job.pk]


def test_refused_host_fails_the_call_and_is_recorded(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    control("egress_hosts", "effect", tenant=acme, hosts=["*.example.org"])
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    policy = current_policy()
    with checked_run(started) as check, pytest.raises(HostRefusedError) as refused:
        policy.check_target(read_target("https://api.example.org/"))
        policy.check_target(read_target("https://example.com/"))
    assert refused.value.code == "host_refused"
    check.finish(None)
    policy.check_target(read_target("https://example.com/"))
    (entry,) = entries()
    assert (entry.after["hosts"], entry.tenant_id) == (["example.com"], acme.pk)


def test_result_is_recorded_and_left_as_it_is(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    control("payload_detector", "end", detect=["card"])
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    settlement = Settlement.completed(started.execution_id, started.fence, {"card": CARD})
    with checked_run(started) as check:
        check.finish(settlement)
    assert settlement.result == {"card": CARD}
    (entry,) = entries()
    assert entry.after["controls"][0]["checkpoint"] == Checkpoint.END


def test_control_that_would_have_held_every_job_needs_a_confirmation(acme: Tenant) -> None:
    submit(acme, 2)
    values = {"name": "all", "rule": "required_tags", "checkpoint": "submission", "parameters": {"tags": ["x"]}}
    with all_tenants():
        with pytest.raises(FieldInvalidError, match="2 of 2 jobs"):
            CONTROLS.save(ControlRule(), values)
        assert not ControlRule.objects.exists()
        row = CONTROLS.save(ControlRule(), values | {"may_hold_all": True})
    submit(acme, tags=["x"])
    with all_tenants():
        preview = preview_control(row)
    assert (preview.jobs, preview.held) == (3, 2)


@pytest.mark.parametrize(
    "values",
    [
        {"rule": "egress_hosts", "parameters": {"hosts": ["a.example"]}},
        {"rule": "required_tags", "parameters": {"tags": []}},
        {"rule": "required_tags", "parameters": {"tags": ["x"]}, "kind": "unknown"},
    ],
)
def test_control_that_cannot_be_checked_is_refused(db: None, values: Any) -> None:
    with all_tenants(), pytest.raises(FieldInvalidError):
        CONTROLS.save(ControlRule(), {"name": "x", "checkpoint": "submission", **values})


def test_cancelled_job_is_not_released_by_an_override(acme: Tenant) -> None:
    control("required_tags", tags=["x"])
    (job,) = submit(acme)
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    with pytest.raises(NotHeldByControlError):
        override(job)


def test_button_and_command_override(acme: Tenant, staff: User, capsys: pytest.CaptureFixture[str]) -> None:
    control("required_tags", tags=["x"])
    first, second = submit(acme, 2)
    client = Client()
    client.force_login(staff)
    url = reverse("admin:scheduling_job_change", args=[first.pk])
    assert "Override controls" in client.get(url).text
    call_command("override_controls", str(second.pk), reason="agreed", dry_run=True)
    assert reload(second).state == "suspended"
    call_command("override_controls", str(second.pk), reason="agreed", json=True)
    assert reload(second).state == "available"
    assert '"state": "available"' in capsys.readouterr().out


def test_submission_answers_with_the_held_job(acme: Tenant) -> None:
    control("required_tags", tags=["x"])
    submission = submit_job(tenant=acme, request=JobRequest(kind="noop"))
    assert (submission.created, submission.job.state) == (True, "suspended")
