"""Beat's periodic tasks in the console: a job by fields, refusals at save, next and past runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import shared_task
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from scheduling.celery.fair_tasks import fair_task
from scheduling.jobs.requests import JobRequest
from scheduling.schedules.beat_submissions import submit_beat_task
from scheduling.schedules.definitions import create_schedule
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.form_data import posted
from tests.processors import added_processor

pytestmark = pytest.mark.django_db
ADD = "admin:django_celery_beat_periodictask_add"
FAIR_TASK = "workloads.diagnostics.tasks.noop_task"
GREETING_TASK = "periodic.greet"


@fair_task(kind="greet")
@shared_task(name=GREETING_TASK)
def greet(name: str, times: int = 1) -> None:
    return None


@pytest.fixture
def greeting() -> Iterator[None]:
    with added_processor(f"{__name__}.greet"):
        yield


@pytest.fixture
def beat(client: Client, staff: User, acme: Tenant) -> Client:
    client.force_login(staff)
    return client


def periodic_task(**values: Any) -> PeriodicTask:
    interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    return PeriodicTask.objects.create(
        **({"name": "nightly", "task": "scheduling.submit", "interval": interval} | values)
    )


def form_of(**values: str) -> dict[str, str]:
    crontab = CrontabSchedule.objects.create(minute="0", hour="3")
    return {
        "name": "nightly",
        "enabled": "on",
        "crontab": str(crontab.pk),
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
    } | values


def errors_of(answer: Any) -> dict[str, Any]:
    errors: dict[str, Any] = answer.context["adminform"].form.errors
    return errors


def page_of(task: PeriodicTask) -> str:
    return reverse("admin:django_celery_beat_periodictask_change", args=[task.pk])


def test_job_is_made_and_changed_by_fields(beat: Client) -> None:
    job = {"job_tenant": "acme", "job_kind": "sleep", "job_payload": '{"seconds": 2}', "job_tags": "a,b"}
    answer = beat.post(reverse(ADD), form_of(**job))
    assert answer.status_code == 302, errors_of(answer)
    task = PeriodicTask.objects.get(name="nightly")
    assert (task.task, task.args) == ("scheduling.submit", "[]")
    sent = {"tenant": "acme", "kind": "sleep", "payload": {"seconds": 2}, "tags": ["a", "b"]}
    assert json.loads(task.kwargs) == sent
    form = beat.get(page_of(task)).context["adminform"].form
    assert form.initial["job_tenant"] == "acme"
    assert not {"args", "kwargs"} & set(form.fields)
    changed = beat.post(page_of(task), form_of(**job, job_priority="2", crontab=str(task.crontab_id)))
    assert changed.status_code == 302, errors_of(changed)
    task.refresh_from_db()
    assert json.loads(task.kwargs) == sent | {"priority": 2}
    with all_tenants():
        entry = AuditLogEntry.objects.filter(action="periodictask.changed").latest("id")
    assert "seconds" not in json.dumps([entry.before, entry.after])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"regtask": "scheduling.submit"}, "job_tenant"),
        ({"job_tenant": "unknown", "job_kind": "noop"}, "job_tenant"),
        ({"job_tenant": "acme", "regtask": "scheduling.submit"}, "job_kind"),
        ({"job_tenant": "acme", "job_kind": "nonsense"}, "job_kind"),
        ({"job_tenant": "acme", "job_kind": "sleep", "job_payload": '{"seconds": "long"}'}, "job_payload"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_payload": "[1]"}, "job_payload"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_priority": "99"}, "job_priority"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_priority": "high"}, "job_priority"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_queue": "pipeline"}, "job_queue"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_concurrency_key": "x" * 201}, "job_concurrency_key"),
        ({"job_tenant": "acme", "job_kind": "noop", "job_unique_until": "ended"}, "job_unique_until"),
        ({"task": "celery.chain"}, "task"),
        ({"task": "acme.removed"}, "task"),
        ({"regtask": FAIR_TASK}, "job_tenant"),
    ],
)
def test_task_that_cannot_run_is_refused_at_its_field(beat: Client, values: dict[str, str], field: str) -> None:
    answer = beat.post(reverse(ADD), form_of(**values))
    assert answer.status_code == 200
    assert errors_of(answer).keys() == {field}
    assert not PeriodicTask.objects.filter(name="nightly").exists()


def test_null_character_in_the_tenant_is_refused_at_its_field(beat: Client) -> None:
    answer = beat.post(reverse(ADD), form_of(task="scheduling.submit", job_kind="noop", job_tenant="ac\x00me"))
    assert answer.status_code == 200
    assert "job_tenant" in errors_of(answer)


def test_fair_task_becomes_a_job_of_its_kind(beat: Client) -> None:
    answer = beat.post(reverse(ADD), form_of(regtask=FAIR_TASK, job_tenant="acme"))
    assert answer.status_code == 302, errors_of(answer)
    task = PeriodicTask.objects.get(name="nightly")
    assert (task.task, json.loads(task.kwargs)) == (
        "scheduling.submit",
        {"tenant": "acme", "kind": "noop_task", "payload": {}},
    )


def payload_of(task: PeriodicTask) -> Any:
    task.refresh_from_db()
    return json.loads(task.kwargs)["payload"]


def test_arguments_of_a_new_fair_task_are_the_payload_of_its_job(beat: Client, greeting: None) -> None:
    call = form_of(task=GREETING_TASK, args='["Ann"]', kwargs='{"times": 2}', job_tenant="acme")
    assert errors_of(beat.post(reverse(ADD), call | {"args": '["Ann", 1, 2]'})).keys() == {"args"}
    answer = beat.post(reverse(ADD), call)
    assert answer.status_code == 302, errors_of(answer)
    assert payload_of(PeriodicTask.objects.get(name="nightly")) == {"name": "Ann", "times": 2}


def test_arguments_of_a_stored_fair_task_are_the_payload_of_its_job(beat: Client, greeting: None) -> None:
    task = periodic_task(task=GREETING_TASK, args='["Bob"]', kwargs='{"times": 3}')
    page = beat.get(page_of(task))
    assert page.context["adminform"].form.initial["job_payload"] == {"name": "Bob", "times": 3}
    answer = beat.post(page_of(task), posted(page.content.decode()) | {"job_tenant": "acme", "job_priority": "2"})
    assert answer.status_code == 302, errors_of(answer)
    assert payload_of(task) == {"name": "Bob", "times": 3}
    page = beat.get(page_of(periodic_task(name="misfit", task=GREETING_TASK, args='["Bob", 1, 2]')))
    assert page.context["adminform"].form.initial["job_payload"] == {}


def test_hidden_arguments_of_a_fair_task_are_given_to_no_tenant(client: Client, acme: Tenant, greeting: None) -> None:
    operator = User.objects.create_user("otto")
    grant_platform_role(user=operator, role="operator")
    client.force_login(operator)
    task = periodic_task(task=GREETING_TASK, args='["Bob"]')
    answer = client.post(page_of(task), form_of(job_tenant="acme", job_kind="greet"))
    assert errors_of(answer).keys() == {"job_tenant"}
    task.refresh_from_db()
    assert (task.task, task.args) == (GREETING_TASK, '["Bob"]')


def test_task_with_the_name_of_a_schedule_cannot_be_enabled(beat: Client, acme: Tenant) -> None:
    create_schedule(tenant=acme, values={"name": "nightly", "kind": "noop", "cron": "0 3 * * *"})
    job = form_of(job_tenant="acme", job_kind="noop")
    assert errors_of(beat.post(reverse(ADD), job)).keys() == {"name"}
    del job["enabled"]
    assert beat.post(reverse(ADD), job).status_code == 302


def test_hidden_payload_stays_with_its_tenant_and_kind(client: Client, acme: Tenant, globex: Tenant) -> None:
    operator = User.objects.create_user("otto")
    grant_platform_role(user=operator, role="operator")
    client.force_login(operator)
    sent = {"tenant": "acme", "kind": "noop", "payload": {"key": "hidden"}}
    task = periodic_task(kwargs=json.dumps(sent))
    same = form_of(job_tenant="acme", job_kind="noop", job_priority="2")
    for changes in ({"job_tenant": "globex"}, {"job_kind": "sleep"}):
        answer = client.post(page_of(task), same | changes)
        assert errors_of(answer).keys() >= changes.keys()
    assert client.post(page_of(task), same).status_code == 302
    task.refresh_from_db()
    assert json.loads(task.kwargs) == sent | {"priority": 2}


def test_page_shows_next_and_past_runs(beat: Client, acme: Tenant) -> None:
    task = periodic_task(kwargs='{"tenant": "acme", "kind": "noop"}')
    page = beat.get(page_of(task))
    assert len(page.context["schedule_runs"]) == 10
    assert "none yet" in page.content.decode()
    job = submit_beat_task(task_name=task.name, tenant=acme, request=JobRequest("noop"))
    text = beat.get(page_of(task)).content.decode()
    assert "none yet" not in text
    assert reverse("admin:scheduling_job_change", args=[job]) in text


def test_task_of_upkeep_has_no_fields_of_a_job(beat: Client) -> None:
    task = PeriodicTask.objects.filter(name__startswith="upkeep").earliest("pk")
    form = beat.get(page_of(task)).context["adminform"].form
    assert {"args", "kwargs"} <= set(form.fields)
    assert [name for name in form.fields if name.startswith("job_")] == []


def test_page_reports_tasks_that_cannot_be_delivered(beat: Client) -> None:
    page = reverse("admin:django_celery_beat_periodictask_changelist")
    PeriodicTask.objects.update(enabled=False)
    assert "No worker has a task" not in beat.get(page).content.decode()
    task = periodic_task(name="of another time", task="acme.removed")
    assert "No worker has a task named acme.removed" in beat.get(page).content.decode()
    task.enabled = False
    task.save()
    assert "acme.removed. Choose" not in beat.get(page).content.decode()


def test_page_reports_queue_without_worker(beat: Client) -> None:
    periodic_task(queue="tasks_team")
    page = beat.get(reverse("admin:django_celery_beat_periodictask_changelist")).content.decode()
    assert "No worker consumes the queue tasks_team" in page
