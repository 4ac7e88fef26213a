"""Console pages of job templates: form, versions, the form that runs one, and templates made from jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.jobs.job_templates.service import TEMPLATES, TemplateContent, add_version, create_template
from scheduling.models import Job, JobTemplate
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Role, Tenant
from tests.form_data import posted
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db

PARAMETERS = {"properties": {"date": {"type": "string"}, "limit": {"type": "integer", "default": 10}}}
CONTENT = TemplateContent(
    kind="noop", payload={"day": "{{ parameters.date }}", "limit": "{{ parameters.limit }}"}, parameters=PARAMETERS
)
FORM = {
    "name": "nightly",
    "kind": "noop",
    "payload": '{"day": "{{ parameters.date }}"}',
    "parameters": '{"properties": {"date": {"type": "string"}}}',
    "tags": "nightly, sales, nightly",
}


@pytest.fixture
def template(acme: Tenant) -> JobTemplate:
    return create_template(tenant=acme, name="nightly", content=CONTENT)


def run_url(template: JobTemplate) -> str:
    return reverse("admin:scheduling_jobtemplate_run", args=[template.pk])


def test_template_is_added_and_changed_by_the_form(console: Callable[[User], Client], acme_user: User) -> None:
    client = console(acme_user)
    answer = client.post(reverse("admin:scheduling_jobtemplate_add"), FORM)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    with all_tenants():
        template = JobTemplate.objects.get(name="nightly")
        assert TEMPLATES.describe(template)["tags"] == ["nightly", "sales"]
    page = reverse("admin:scheduling_jobtemplate_change", args=[template.pk])
    changed = client.post(page, FORM | {"priority": "3", "seen_version": "1", "reason": "urgent"})
    assert changed.status_code == 302, changed.context["adminform"].form.errors
    with all_tenants():
        template.refresh_from_db()
        assert (template.version, TEMPLATES.describe(template)["priority"]) == (2, 3)
    assert "urgent" in client.get(page).content.decode()


def test_form_names_what_is_wrong(console: Callable[[User], Client], acme_user: User) -> None:
    wrong = FORM | {"parameters": '{"properties": {"date": {"pattern": "(a+)+"}}}'}
    answer = console(acme_user).post(reverse("admin:scheduling_jobtemplate_add"), wrong)
    assert answer.status_code == 200
    assert "$.date.pattern: The keyword is not allowed here." in answer.content.decode()


def test_template_is_run_by_fields_of_its_parameters(
    console: Callable[[User], Client], acme_user: User, template: JobTemplate
) -> None:
    client = console(acme_user)
    assert 'name="parameters/date"' in client.get(run_url(template)).content.decode()
    entered: dict[str, Any] = {"parameters-mode": "fields", "parameters/date": "2026-11-01", "parameters/limit": "5"}
    answer = client.post(run_url(template), entered)
    with all_tenants():
        job = Job.objects.get()
        assert (job.payload, job.meta) == ({"day": "2026-11-01", "limit": 5}, {"template": "nightly@1"})
    assert answer["Location"] == reverse("admin:scheduling_job_change", args=[job.pk])


def test_wrong_parameter_is_shown_and_submits_nothing(
    console: Callable[[User], Client], acme_user: User, template: JobTemplate
) -> None:
    answer = console(acme_user).post(run_url(template), {"parameters": '{"date": 7}'})
    assert answer.status_code == 200
    assert "$.date" in answer.content.decode()
    with all_tenants():
        assert not Job.objects.exists()


def test_parameters_are_drawn_again_as_json(
    console: Callable[[User], Client], acme_user: User, template: JobTemplate
) -> None:
    url = reverse("admin:scheduling_jobtemplate_parameters", args=[template.pk])
    entered = {"parameters-mode": "fields", "parameters/date": "2026-11-01", "parameters-act": "json"}
    assert "2026-11-01" in console(acme_user).post(url, entered).content.decode()


def test_viewer_runs_only_templates_for_the_role(
    console: Callable[[User], Client], acme: Tenant, outsider: User, template: JobTemplate
) -> None:
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    shared = create_template(tenant=acme, name="shared", content=CONTENT, runners=["viewer"])
    client = console(outsider)
    assert [client.get(run_url(row)).status_code for row in (template, shared)] == [403, 200]
    assert client.get(reverse("admin:scheduling_jobtemplate_add")).status_code == 403


def test_platform_staff_change_the_facts_of_a_template_without_its_content(
    console: Callable[[User], Client], staff: User, acme: Tenant
) -> None:
    template = create_template(tenant=acme, name="nightly", content=TemplateContent(kind="noop", payload={"a": "t0k"}))
    add_version(template=template, content=TemplateContent(kind="noop", payload={"a": "t0ken"}))
    client = console(staff)
    url = reverse("admin:scheduling_jobtemplate_change", args=[template.pk])
    page = client.get(url).content.decode()
    assert "t0k" not in page
    assert "payload.a" in page
    answer = client.post(url, posted(page) | {"description": "Sales"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    with all_tenants():
        template.refresh_from_db()
        assert (template.description, template.version) == ("Sales", 2)
        assert TEMPLATES.describe(template)["payload"] == {"a": "t0ken"}


def test_job_is_saved_as_a_template(console: Callable[[User], Client], acme_user: User, acme: Tenant) -> None:
    (job,) = submit(acme, payload={"n": 1})
    url = reverse("admin:scheduling_job_act", args=[job.pk, "save_as_template"])
    answer = console(acme_user).post(url, {"reason": "runs each night"})
    with all_tenants():
        template = JobTemplate.objects.get()
        assert TEMPLATES.describe(template)["payload"] == {"n": 1}
        assert AuditLogEntry.objects.get(action="job_template.created").after["job"] == str(job.pk)
    assert answer["Location"] == reverse("admin:scheduling_jobtemplate_change", args=[template.pk])


def posted_page(client: Client, url: str) -> dict[str, str]:
    return posted(client.get(url).content.decode())


def test_template_is_added_by_fields(console: Callable[[User], Client], acme_user: User) -> None:
    client = console(acme_user)
    url = reverse("admin:scheduling_jobtemplate_add")
    opened = posted_page(client, f"{url}?kind=sleep")
    assert {"payload/seconds", "parameters/properties#rows"} <= opened.keys()
    typed = {"name": "naps", "payload/seconds": "{{ parameters.seconds }}", "parameters/properties#rows": "1"}
    row = "parameters/properties/0"
    typed |= {f"{row}#key": "seconds", f"{row}/type": '"number"', f"{row}/default": "0.5", f"{row}/maximum": "3"}
    answer = client.post(url, opened | typed)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    with all_tenants():
        template = JobTemplate.objects.get(name="naps")
        content = TEMPLATES.describe(template)
    assert content["payload"] == {"seconds": "{{ parameters.seconds }}"}
    assert content["parameters"] == {"properties": {"seconds": {"type": "number", "default": 0.5, "maximum": 3}}}
    shown = posted_page(client, reverse("admin:scheduling_jobtemplate_change", args=[template.pk]))
    assert {name: shown[name] for name in (f"{row}#key", "payload/seconds")} == {
        f"{row}#key": "seconds",
        "payload/seconds": "{{ parameters.seconds }}",
    }


def test_select_offers_the_declared_parameters(console: Callable[[User], Client], acme_user: User) -> None:
    content = {"kind": "http_call", "parameters": '{"properties": {"way": {"default": "POST"}}}'}
    url = reverse("admin:scheduling_jobtemplate_content")
    drawn = console(acme_user).post(f"{url}?name=payload", content | {"payload-mode": "fields"}).content.decode()
    assert '<option value="{{ parameters.way }}">' in drawn
    assert "name=payload" in drawn


def test_rows_of_parameters_are_added(console: Callable[[User], Client], acme_user: User) -> None:
    entered = {"kind": "noop", "parameters-mode": "fields", "parameters-act": "add:/properties"}
    url = reverse("admin:scheduling_jobtemplate_content")
    drawn = console(acme_user).post(f"{url}?name=parameters", entered).content.decode()
    assert 'name="parameters/properties/0#key"' in drawn
    assert "Each row needs a name" not in drawn
