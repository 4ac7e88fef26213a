"""The form that submits a job: fields by the kind, a preview of where the job goes, and the submission."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from scheduling.jobs.payload_form import fields
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submit_page import as_python
from scheduling.kit import registry
from scheduling.kit.base import JobContext, Json, TaskProcessor
from scheduling.models import Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import Membership, Role, Tenant, TenantSecret
from tests.form_data import posted
from tests.integration.console.admin_actions import Console, entries_of
from tests.payload_examples import PAYLOADS
from tests.processors import added_processor
from workloads.files.models import UploadedFile

pytestmark = pytest.mark.django_db
SUBMIT, PREVIEW = "admin:scheduling_job_submit", "admin:scheduling_job_submit_preview"


class Filed(TaskProcessor):
    """A kind whose payload refers to a stored file."""

    kind = "filed"
    payload_schema = {
        "type": "object",
        "properties": {
            "document": {"type": "string", "format": "stored-file"},
            "pages": {"type": "integer", "default": 3},
        },
        "required": ["document"],
    }

    def process(self, context: JobContext) -> Json | None:
        return None


def jobs_of(tenant: Tenant) -> list[Job]:
    with tenant_context(tenant):
        return list(Job.objects.order_by("id"))


def draw(client: Client, kind: str, act: str = "", **data: Any) -> str:
    url = f"{reverse('admin:scheduling_job_payload')}?name=payload&kind={kind}"
    answer = client.post(url, {**data, **({"payload-act": act} if act else {})})
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_every_kind_that_clients_may_submit_has_an_example() -> None:
    assert set(PAYLOADS) == {kind for kind in registry.kinds() if not registry.get(kind).is_internal}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_each_kind_is_submitted_by_the_form(console: Console, acme_user: User, acme: Tenant, kind: str) -> None:
    client = console(acme_user)
    page = client.get(reverse(SUBMIT), {"kind": kind}).content.decode()
    assert posted(page)["kind"] == kind
    drawn = draw(client, kind, "fields", **{"payload-mode": "json", "payload": json.dumps(PAYLOADS[kind])})
    data = posted(drawn)
    assert data["payload-mode"] == ("json" if kind in ("noop", "noop_task") else "fields")
    done = client.post(reverse(SUBMIT), {"kind": kind, **data})
    [job] = jobs_of(acme)
    assert done.status_code == 302
    assert done["Location"] == reverse("admin:scheduling_job_change", args=[job.pk])
    assert (job.kind, job.payload) == (kind, PAYLOADS[kind])
    assert [entry.after["kinds"] for entry in entries_of("job.submitted")] == [[kind]]


def test_options_reach_the_job(console: Console, acme_user: User, acme: Tenant) -> None:
    options = {
        "priority": "2",
        "run_at": "2040-01-31T09:30",
        "deadline": "2040-02-01T00:00",
        "tags": "night, big,,night",
        "fair_key": "user-7",
        "idempotency_key": "k1",
    }
    data = {"kind": "noop", "payload": "{}", **options}
    client = console(acme_user)
    client.post(reverse(SUBMIT), data)
    [job] = jobs_of(acme)
    assert (job.priority, job.tags, job.fair_key, job.idempotency_key) == (2, ["night", "big"], "user-7", "k1")
    assert (job.run_at.isoformat(), job.deadline_at.isoformat()) == (
        "2040-01-31T09:30:00+00:00",
        "2040-02-01T00:00:00+00:00",
    )
    again = client.post(reverse(SUBMIT), data, follow=True)
    assert "The key already has this job." in again.content.decode()
    assert len(jobs_of(acme)) == 1
    other = client.post(reverse(SUBMIT), data | {"priority": "1"})
    assert other.status_code == 422
    assert set(other.context["form"].errors) == {"idempotency_key"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"kind": "nope"}, "kind"),
        ({"kind": "webhook_delivery"}, "kind"),
        ({"payload": "[]"}, "payload"),
        ({"priority": "100"}, "priority"),
        ({"deadline": "2001-01-01T00:00"}, "deadline"),
        ({"fair_key": "a\u202eb"}, "fair_key"),
        ({"tags": "x" * 65}, "tags"),
        ({"run_at": "soon"}, "run_at"),
    ],
)
def test_errors_are_shown_at_their_fields(
    console: Console, acme_user: User, acme: Tenant, data: dict[str, str], field: str
) -> None:
    refused = console(acme_user).post(reverse(SUBMIT), {"kind": "noop", "payload": "{}", **data})
    assert refused.status_code == 422
    assert field in refused.context["form"].errors
    assert jobs_of(acme) == []


def test_payload_errors_are_shown_at_their_inputs(console: Console, acme_user: User) -> None:
    data = {"kind": "sleep", "payload-mode": "fields", "payload/seconds": "many"}
    page = console(acme_user).post(reverse(SUBMIT), data).content.decode()
    assert 'id="id_payload/seconds-fault1">Enter a number.' in page


def test_preview_names_the_queue_and_shows_curl_and_python(
    console: Console, acme_user: User, acme: Tenant, live_worker: object
) -> None:
    data = {"kind": "sleep", "payload-mode": "fields", "payload/seconds": "3", "tags": "it's", "idempotency_key": "k"}
    client = console(acme_user)
    page = client.post(reverse(PREVIEW), data).content.decode()
    assert "Goes to <code>tasks_team</code>." in page
    for text in ("curl http://testserver/api/v1/jobs/", "Idempotency-Key: k", "requests.post(", "it&#x27;&quot;"):
        assert text in page
    assert jobs_of(acme) == []
    partial = client.post(reverse(PREVIEW), {"kind": "sleep", "payload-mode": "fields"}).content.decode()
    assert "tasks_team" in partial
    assert "curl http" not in partial
    assert "Known once" in client.post(reverse(PREVIEW), {}).content.decode()


@pytest.mark.parametrize("priority", ["9" * 30, "9" * 400])
def test_preview_survives_a_priority_of_any_size(
    console: Console, acme_user: User, acme: Tenant, priority: str
) -> None:
    data = {"kind": "noop", "payload": "{}", "priority": priority}
    assert console(acme_user).post(reverse(PREVIEW), data).status_code == 200
    assert "priority" in console(acme_user).post(reverse(SUBMIT), data).context["form"].errors


def test_printed_python_is_a_program() -> None:
    asked = JobRequest("noop", {"text": 'a"b\n', "is_on": True, "none": None}, tags=("x",), idempotency_key='k"')
    compile(as_python(asked, "http://x/"), "example", "exec")


def test_rows_are_added_and_removed_and_get_the_focus(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    added = draw(client, "http_call", "add:/expected_status", **{"payload-mode": "fields", "payload/url": "https://x"})
    assert posted(added)["payload/expected_status#rows"] == "1"
    assert added.count("autofocus") == 1
    data = posted(added) | {"payload/expected_status/0": "201"}
    more = posted(draw(client, "http_call", "add:/expected_status", **data)) | {"payload/expected_status/1": "202"}
    fewer = posted(draw(client, "http_call", "remove:/expected_status/0", **more))
    assert (fewer["payload/expected_status#rows"], fewer["payload/expected_status/0"]) == ("1", "202")
    assert fewer["payload/url"] == "https://x"


def test_tabs_convert_the_payload_or_tell_why_not(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    data = {"payload-mode": "fields", "payload/seconds": "2.5"}
    text = posted(draw(client, "sleep", "json", **data))
    assert json.loads(text["payload"]) == {"seconds": 2.5}
    back = posted(draw(client, "sleep", "fields", **text))
    assert (back["payload-mode"], back["payload/seconds"]) == ("fields", "2.5")
    kept = draw(client, "sleep", "fields", **{"payload-mode": "json", "payload": '{"seconds": 1, "more": 2}'})
    assert "cannot hold this payload" in kept
    assert json.loads(posted(kept)["payload"]) == {"seconds": 1, "more": 2}
    assert "line 1" in draw(client, "sleep", "fields", **{"payload-mode": "json", "payload": "{"})
    unread = draw(client, "sleep", "json", **{"payload-mode": "fields", "payload/seconds": "x"})
    assert "Enter a number." in unread


def test_change_of_kind_keeps_what_fits(console: Console, acme_user: User) -> None:
    url = f"{reverse('admin:scheduling_job_payload')}?name=payload&kind_field=kind"
    data = {"kind": "spin", "payload-mode": "fields", "payload/seconds": "2"}
    drawn = posted(console(acme_user).post(url, data).content.decode())
    assert (drawn["payload/seconds"], drawn["payload/lines"]) == ("2", "")
    assert console(acme_user).post(reverse("admin:scheduling_job_payload")).status_code == 400


@pytest.mark.parametrize("text", ["{}", " "])
def test_choice_of_a_kind_opens_its_fields_unless_json_was_entered(
    console: Console, acme_user: User, text: str
) -> None:
    client = console(acme_user)
    opened = posted(draw(client, "sleep", **{"payload-mode": "json", "payload": text}))
    assert (opened["payload-mode"], opened["payload/seconds"]) == ("fields", "")
    kept = posted(draw(client, "sleep", **{"payload-mode": "json", "payload": '{"seconds": 1}'}))
    assert (kept["payload-mode"], json.loads(kept["payload"])) == ("json", {"seconds": 1})


def test_file_is_stored_once_all_else_is_valid(console: Console, acme_user: User, acme: Tenant) -> None:
    client = console(acme_user)
    with added_processor(f"{__name__}.Filed"):
        page = client.get(reverse(SUBMIT), {"kind": "filed"}).content.decode()
        data = posted(page)
        assert data["payload/pages"] == "3"
        file = SimpleUploadedFile("invoice.txt", b"to pay: 7")
        data |= {"payload/document#file": file, "priority": "many"}  # type: ignore[dict-item]
        refused = client.post(reverse(SUBMIT), data)
        with tenant_context(acme):
            [stored] = UploadedFile.objects.all()
        again = posted(refused.content.decode()) | {"priority": ""}
        assert again["payload/document"] == str(stored.pk)
        done = client.post(reverse(SUBMIT), again)
        assert done.status_code == 302, done.context["form"].errors
        [job] = jobs_of(acme)
        assert job.payload == {"document": str(stored.pk), "pages": 3}
        assert "invoice.txt" in client.get(reverse(SUBMIT), {"kind": "filed"}).content.decode()


def test_secrets_are_suggested_to_those_who_may_use_them(console: Console, acme_user: User, acme: Tenant) -> None:
    with tenant_context(acme):
        TenantSecret.objects.create(tenant=acme, name="crm_token", hosts=["example.org"], sealed="not a real one")
    client = console(acme_user)
    assert "{{ secrets.crm_token }}" in draw(client, "http_call", **{"payload-mode": "fields"})
    assert "crm_token" not in draw(client, "sleep", **{"payload-mode": "fields"})
    with all_tenants():
        Membership.objects.filter(user=acme_user).update(role=Role.VIEWER)
    assert "crm_token" not in draw(client, "http_call", **{"payload-mode": "fields"})


def test_staff_choose_the_tenant(console: Console, staff: User, acme: Tenant, globex: Tenant) -> None:
    client = console(staff)
    missing = client.post(reverse(SUBMIT), {"kind": "noop", "payload": "{}"})
    assert "tenant" in missing.context["form"].errors
    client.post(reverse(SUBMIT), {"kind": "noop", "payload": "{}", "tenant": str(globex.pk)})
    assert [job.kind for job in jobs_of(globex)] == ["noop"]
    assert jobs_of(acme) == []


def test_member_cannot_choose_another_tenant(console: Console, acme_user: User, acme: Tenant, globex: Tenant) -> None:
    given = {"kind": "noop", "payload": "{}", "tenant": str(globex.pk)}
    assert console(acme_user).post(reverse(SUBMIT), given).status_code == 422
    assert jobs_of(globex) == jobs_of(acme) == []


def test_viewer_is_not_offered_the_form(console: Console, acme: Tenant) -> None:
    user = User.objects.create_user("vera", is_staff=True)
    add_member(tenant=acme, user=user, role=Role.VIEWER)
    client = console(user)
    assert client.get(reverse(SUBMIT)).status_code == 403
    for page in ("admin:index", "admin:scheduling_job_changelist", "admin:job_kinds"):
        assert reverse(SUBMIT) not in client.get(reverse(page)).content.decode()


def test_overview_jobs_and_kinds_lead_to_the_form(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    assert f'href="{reverse(SUBMIT)}"' in client.get(reverse("admin:index")).content.decode()
    jobs = client.get(reverse("admin:scheduling_job_changelist")).content.decode()
    assert jobs.count(f'href="{reverse(SUBMIT)}"') == 2  # the button, and the empty list
    kinds = client.get(reverse("admin:job_kinds")).content.decode()
    assert f"{reverse(SUBMIT)}?kind=http_call" in kinds
    assert f"{reverse(SUBMIT)}?kind=webhook_delivery" not in kinds


def test_widget_does_not_share_its_kind_between_forms() -> None:
    one, other = fields.PayloadField(), fields.PayloadField()
    one.use("sleep", tenant=None, access=None)
    assert (one.widget.has_fields, other.widget.has_fields) == (True, False)
