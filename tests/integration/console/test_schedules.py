"""Schedules in the console: form errors, preview, acts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling.jobs.requests import JobRequest
from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules.beat_submissions import submit_beat_task
from scheduling.schedules.definitions import create_schedule
from tenants.context import all_tenants
from tenants.models import Membership, Role, Tenant

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]
ADD = "admin:scheduling_schedule_add"
FORM = {
    "name": "nightly",
    "kind": "noop",
    "payload": "{}",
    "priority": "0",
    "tags": "a,b",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "dst_policy": "standard",
    "overlap_policy": "skip",
    "catch_up_policy": "latest",
    "jitter_seconds": "0",
}


@pytest.fixture
def schedule(acme: Tenant) -> Schedule:
    values = {"name": "hourly", "kind": "noop", "payload": {"secret": "acme-payload"}, "cron": "0 * * * *"}
    return create_schedule(tenant=acme, values=values)


def page_of(schedule: Schedule) -> str:
    return reverse("admin:scheduling_schedule_change", args=[schedule.pk])


def act(client: Client, schedule: Schedule, name: str, **fields: str) -> Any:
    return client.post(reverse("admin:scheduling_schedule_act", args=[schedule.pk, name]), fields)


def stored(name: str) -> Schedule:
    with all_tenants():
        return Schedule.objects.get(name=name)


def test_member_creates_a_schedule_by_form(console: Console, acme_user: User, acme: Tenant) -> None:
    client = console(acme_user)
    form = client.get(reverse(ADD)).context["adminform"].form
    assert "tenant" not in form.fields
    assert form.initial["timezone"] == "UTC"
    assert [name for name, field in form.fields.items() if not field.help_text] == []
    assert client.post(reverse(ADD), FORM).status_code == 302
    made = stored("nightly")
    assert (made.tenant_id, made.cron, made.tags, made.overlap_policy) == (acme.pk, "30 2 * * *", ["a", "b"], "skip")


def test_keys_of_the_jobs_are_fields_of_the_form(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    keys = {"concurrency_key": "account-7", "unique_key": "nightly", "unique_until": "started"}
    refused = client.post(reverse(ADD), FORM | {"unique_until": "started"}).context["adminform"].form
    assert refused.errors.keys() == {"unique_until"}
    assert client.post(reverse(ADD), FORM | keys).status_code == 302
    made = stored("nightly")
    assert {name: getattr(made, name) for name in keys} == keys
    act(client, made, "run_now", reason="")
    again = client.get(act(client, made, "run_now", reason="")["Location"])
    assert "has the unique key of nightly" in again.content.decode()
    with all_tenants():
        assert Job.objects.count() == 1


def test_staff_must_name_the_tenant(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    assert client.post(reverse(ADD), FORM).context["adminform"].form.errors.keys() == {"tenant"}
    assert client.post(reverse(ADD), FORM | {"tenant": str(acme.pk)}).status_code == 302
    assert stored("nightly").tenant_id == acme.pk


def test_form_errors_stand_beside_the_field_and_keep_the_input(console: Console, acme_user: User) -> None:
    wrong = FORM | {"cron": "0 0 30 2 *", "timezone": "Mars/Olympus", "kind": "nonsense", "payload": '{"a": 1}'}
    answer = console(acme_user).post(reverse(ADD), wrong)
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    assert form.errors.keys() == {"cron", "timezone", "kind"}
    assert "never fires" in str(form.errors["cron"])
    assert "&quot;a&quot;: 1" in str(form["payload"])


def test_stale_change_is_refused(console: Console, acme_user: User, schedule: Schedule) -> None:
    client = console(acme_user)
    changed = FORM | {"name": "hourly", "seen_version": "1", "reason": "earlier"}
    assert client.post(page_of(schedule), changed).status_code == 302
    assert stored("hourly").version == 2
    again = client.post(page_of(schedule), changed | {"priority": "3"}, follow=True)
    assert "at version 2, not 1" in again.content.decode()
    assert stored("hourly").priority == 0


def test_preview_follows_the_input(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    url = reverse("admin:scheduling_schedule_preview")
    shown = client.post(url, {"cron": "30 2 * * *", "timezone": "Asia/Kathmandu", "dst_policy": "standard"})
    text = shown.content.decode()
    assert "At 02:30 every day" in text
    assert text.count("UTC+05:45") == 10
    assert "never fires" in client.post(url, {"cron": "0 0 30 2 *", "timezone": "UTC"}).content.decode()
    assert "no such time zone" in client.post(url, {"cron": "* * * * *", "timezone": "x"}).content.decode()
    assert client.post(url, {}).status_code == 200
    assert client.get(url).status_code == 405


def test_preview_follows_interval_and_single_time(console: Console, acme_user: User) -> None:
    client, url = console(acme_user), reverse("admin:scheduling_schedule_preview")
    paced = client.post(url, {"interval_seconds": "5400", "starts_at_0": "2090-01-01", "starts_at_1": "00:00"})
    assert "Every 90 minutes" in paced.content.decode()
    assert "2090-01-01T13:30" in paced.content.decode()
    assert (
        "Once at 2090-01-01 13:00"
        in client.post(url, {"once_at_0": "2090-01-01", "once_at_1": "13:00"}).content.decode()
    )
    assert "interval_seconds" in client.post(url, {"interval_seconds": "often"}).content.decode()
    assert "one of cron" in client.post(url, {"cron": "@daily", "interval_seconds": "60"}).content.decode()


def test_first_screen_has_the_expression_and_selects(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    page = client.get(reverse(ADD))
    (_, first), (title, advanced) = page.context["adminform"].fieldsets
    assert first["fields"] == ["name", "template", "kind", "cron", "interval_seconds", "once_at", "timezone", "payload"]
    assert (title, "overlap_policy" in advanced["fields"]) == ("Advanced", True)
    text = page.content.decode()
    for shown in (
        'data-value="@hourly"',
        '<option value="Asia/Kathmandu">',
        '<option value="noop"',
        '<option value="dataset"',
    ):
        assert shown in text
    assert "webhook_delivery" not in text


def test_member_creates_a_schedule_at_an_interval(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    assert client.post(reverse(ADD), FORM | {"cron": "", "interval_seconds": "5400"}).status_code == 302
    made = stored("nightly")
    assert (made.cron, made.interval_seconds, made.starts_at) == ("", 5_400, made.next_fire_at)
    both = client.post(page_of(made), FORM | {"interval_seconds": "5400", "seen_version": "1"})
    assert both.context["adminform"].form.errors.keys() == {"interval_seconds"}
    once = {"cron": "", "once_at_0": "2090-01-01", "once_at_1": "00:00", "seen_version": "1"}
    assert client.post(page_of(made), FORM | once).status_code == 302
    assert "Once at 2090-01-01 01:00" in client.get(reverse("admin:scheduling_schedule_changelist")).content.decode()


def test_list_has_the_periodic_tasks_that_submit_jobs(
    console: Console, acme_user: User, staff: User, acme: Tenant, globex: Tenant
) -> None:
    every = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.DAYS)
    for tenant in (acme, globex):
        kwargs = json.dumps({"tenant": tenant.slug, "kind": "noop", "payload": {"secret": "s3cr3t"}})
        PeriodicTask.objects.create(name=f"of {tenant.slug}", task="scheduling.submit", interval=every, kwargs=kwargs)
    job = submit_beat_task(task_name="of acme", tenant=acme, request=JobRequest("noop"))
    page = reverse("admin:scheduling_schedule_changelist")
    text = console(acme_user).get(page).content.decode()
    assert "of globex" not in text
    assert "/periodictask/" not in text
    for shown in ("of acme", "Every 7 days", str(job), "submitted"):
        assert shown in text
    text = console(staff).get(page).content.decode()
    assert "of globex" in text
    assert "/periodictask/" in text
    assert "s3cr3t" not in text


def test_page_has_no_inline_script(console: Console, acme_user: User) -> None:
    page = console(acme_user).get(reverse(ADD)).content.decode()
    assert "hx-post" in page
    assert "hx-on" not in page
    assert " onclick=" not in page


def test_acts_run_pause_resume_and_delete(console: Console, acme_user: User, schedule: Schedule) -> None:
    client = console(acme_user)
    ran = act(client, schedule, "run_now", reason="asked for")
    with all_tenants():
        job = Job.objects.get()
    assert ran.url == reverse("admin:scheduling_job_change", args=[job.pk])
    assert "hourly" in client.get(ran.url).content.decode()  # the job's page names its schedule
    act(client, schedule, "pause", reason="quarter's end")
    assert not stored("hourly").is_enabled
    text = client.get(reverse("admin:scheduling_schedule_changelist")).content.decode()
    assert "quarter&#x27;s end" in text
    assert "Every hour" in text
    act(client, schedule, "resume")
    assert stored("hourly").is_enabled
    assert str(job.pk) in client.get(page_of(schedule)).content.decode()
    fires = client.get(reverse("admin:scheduling_schedulefire_changelist"), {"q": str(schedule.pk)})
    assert len(fires.context["cl"].result_list) == 1
    act(client, schedule, "delete", reason="gone")
    with all_tenants():
        assert not Schedule.objects.exists()


def test_paused_schedule_states_the_pause_in_place_of_its_next_runs(
    console: Console, acme_user: User, schedule: Schedule
) -> None:
    words = "It is paused and does not fire until it is resumed."
    act(console(acme_user), schedule, "pause", reason="quarter's end")
    assert words in console(acme_user).get(page_of(schedule)).content.decode()
    with all_tenants():
        Membership.objects.filter(user=acme_user).update(role=Role.VIEWER)
    page = console(acme_user).get(page_of(schedule)).content.decode()
    assert words in page
    assert "Enter a cron expression" not in page


def test_list_shows_the_overlap_policy(console: Console, acme_user: User, schedule: Schedule) -> None:
    text = console(acme_user).get(reverse("admin:scheduling_schedule_changelist")).content.decode()
    assert schedule.get_overlap_policy_display() in text


def test_backfill_previews_first_and_starts_on_the_second_press(
    console: Console, acme_user: User, schedule: Schedule
) -> None:
    client = console(acme_user)
    url = reverse("admin:scheduling_schedule_backfill", args=[schedule.pk])
    span = {"since_0": "2026-01-01", "since_1": "00:00", "until_0": "2026-01-01", "until_1": "02:00", "reason": ""}
    assert client.get(url).status_code == 200
    assert "3 times without a job" in client.post(url, span).content.decode()
    with all_tenants():
        assert not ScheduleFire.objects.exists()
    assert client.post(url, span | {"run": ""}).status_code == 302
    with all_tenants():
        assert Job.objects.count() == 3
    too_long = client.post(url, span | {"since_0": "1999-01-01"})
    assert "more than 1000" in too_long.content.decode()


def test_schedule_payload_is_shown_only_to_its_tenant(
    console: Console, acme_user: User, staff: User, schedule: Schedule
) -> None:
    assert "acme-payload" in console(acme_user).get(page_of(schedule)).content.decode()
    page = console(staff).get(page_of(schedule))
    assert "acme-payload" not in page.content.decode()
    changed = {name: value for name, value in FORM.items() if name != "payload"}
    assert console(staff).post(page_of(schedule), changed | {"seen_version": "1", "reason": "x"}).status_code == 302
    assert stored("nightly").payload == {"secret": "acme-payload"}


def test_foreign_schedule_is_not_found(console: Console, globex_user: User, schedule: Schedule) -> None:
    client = console(globex_user)
    assert client.get(page_of(schedule)).status_code == 404
    assert act(client, schedule, "pause", reason="x").status_code == 404
    assert client.get(reverse("admin:scheduling_schedule_backfill", args=[schedule.pk])).status_code == 404
