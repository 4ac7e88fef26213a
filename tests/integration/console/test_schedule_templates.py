"""Schedules of job templates in the console: the form by the parameters, its refusals, and what uses a template."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.job_templates.service import TemplateContent, add_version, create_template
from scheduling.jobs.requests import JobRequest
from scheduling.models import JobTemplate, Schedule
from scheduling.schedules.definitions import create_schedule
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tests.form_data import posted

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]
ADD, PAYLOAD = "admin:scheduling_schedule_add", "admin:scheduling_schedule_payload"
CONTENT = TemplateContent(
    kind="noop",
    payload={"day": "{{ parameters.day }}", "limit": "{{ parameters.limit }}"},
    parameters={"properties": {"day": {"type": "string", "maxLength": 9}, "limit": {"type": "integer", "default": 10}}},
)
VALUES = {"name": "hourly", "template": "nightly", "payload": {"day": "monday"}, "cron": "0 * * * *"}


@pytest.fixture
def template(acme: Tenant) -> JobTemplate:
    return create_template(tenant=acme, name="nightly", content=CONTENT)


def page_of(schedule: Schedule) -> str:
    return reverse("admin:scheduling_schedule_change", args=[schedule.pk])


def form_of(client: Client, url: str) -> dict[str, str]:
    return posted(client.get(url).content.decode())


def entered(template: JobTemplate, **parameters: str) -> dict[str, str]:
    typed = {f"payload/{name}": value for name, value in parameters.items()}
    return {"name": "by template", "template": str(template.pk), "cron": "30 2 * * *", "payload-mode": "fields"} | typed


def stored(name: str) -> Schedule:
    with all_tenants():
        return Schedule.objects.select_related("template").get(name=name)


def test_schedule_is_added_and_changed_by_fields_of_the_parameters(
    console: Console, acme_user: User, template: JobTemplate
) -> None:
    client = console(acme_user)
    opened = form_of(client, reverse(ADD))
    answer = client.post(reverse(ADD), opened | entered(template, day="monday", limit="5"))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    made = stored("by template")
    assert (made.template, made.kind, made.payload) == (template, "noop", {"day": "monday", "limit": 5})
    shown = form_of(client, page_of(made))
    assert (shown["template"], shown["payload/day"]) == (str(template.pk), "monday")
    answer = client.post(page_of(made), shown | {"payload/day": "sunday"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert stored("by template").payload == {"day": "sunday", "limit": 5}

    freed = form_of(client, page_of(made)) | {"template": "", "kind": "noop", "payload-mode": "json", "payload": "{}"}
    assert client.post(page_of(made), freed).status_code == 302
    assert (stored("by template").template, stored("by template").payload) == (None, {})


def test_choice_of_a_template_draws_its_parameters(console: Console, acme_user: User, template: JobTemplate) -> None:
    client = console(acme_user)
    page = client.get(reverse(ADD)).content.decode()
    assert page.count(f'hx-post="{reverse(PAYLOAD)}"') >= 2  # the selects of template and kind
    untouched = {"template": str(template.pk), "payload-mode": "json", "payload": "{}", "payload-act": "fields"}
    drawn = client.post(reverse(PAYLOAD), untouched).content.decode()
    assert 'name="payload/day"' in drawn
    assert 'value="10"' in drawn
    without = client.post(reverse(PAYLOAD), {"kind": "sleep", "payload-mode": "fields"}).content.decode()
    assert 'name="payload/seconds"' in without


def test_parameter_that_does_not_fit_is_marked(console: Console, acme_user: User, template: JobTemplate) -> None:
    client = console(acme_user)
    wrong = entered(template, day="long-lasting", limit="5")
    answer = client.post(reverse(ADD), form_of(client, reverse(ADD)) | wrong)
    form = answer.context["adminform"].form
    assert form.errors["payload"] == ["The payload has errors: correct what is marked."]
    assert "is too long" in str(form["payload"])


def test_template_of_another_tenant_is_no_choice(
    console: Console, acme_user: User, globex: Tenant, template: JobTemplate
) -> None:
    foreign = create_template(tenant=globex, name="foreign", content=CONTENT)
    client = console(acme_user)
    opened = client.get(reverse(ADD))
    assert [str(row.pk) in opened.content.decode() for row in (template, foreign)] == [True, False]
    answer = client.post(reverse(ADD), posted(opened.content.decode()) | entered(foreign, day="monday"))
    assert "template" in answer.context["adminform"].form.errors


@pytest.mark.usefixtures("template")
def test_page_of_a_template_lists_what_uses_it(console: Console, acme: Tenant, acme_user: User, outsider: User) -> None:
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    with all_tenants():
        template = JobTemplate.objects.get()
    page = reverse("admin:scheduling_jobtemplate_change", args=[template.pk])
    assert "Nothing uses this template." in console(acme_user).get(page).content.decode()
    schedule = create_schedule(tenant=acme, values=VALUES)
    job = JobRequest("noop", meta={"template": "nightly@1"})
    batch, _ = open_batch(tenant=acme, label="sales", requests=[job])
    for user in (acme_user, outsider):
        text = console(user).get(page).content.decode()
        for row, said in ((page_of(schedule), "hourly"), (f"/batch/{batch.pk}/", "sales")):
            assert row in text
            assert f"{said}</a>" in text


def test_used_template_is_kept_and_the_schedules_are_named(
    console: Console, acme: Tenant, acme_user: User, template: JobTemplate
) -> None:
    create_schedule(tenant=acme, values=VALUES)
    act = reverse("admin:scheduling_jobtemplate_act", args=[template.pk, "delete"])
    answer = console(acme_user).post(act, {"reason": "old"}, follow=True)
    assert "Schedules run it: hourly. Delete them or give them another template first." in answer.content.decode()
    with all_tenants():
        assert JobTemplate.objects.filter(pk=template.pk).exists()


def test_run_now_names_the_parameters_that_the_version_refuses(
    console: Console, acme: Tenant, acme_user: User, template: JobTemplate
) -> None:
    schedule = create_schedule(tenant=acme, values=VALUES | {"payload": {"day": "secret"}})
    more = {"properties": {"day": {"type": "integer"}, "zone": {"type": "string"}}}
    add_version(template=template, content=TemplateContent(kind="noop", parameters=more))
    act = reverse("admin:scheduling_schedule_act", args=[schedule.pk, "run_now"])
    text = console(acme_user).post(act, {"reason": ""}, follow=True).content.decode()
    assert "schema: zone, day." in text
    assert "secret" not in text.split("schema: zone, day.")[0][-300:]
