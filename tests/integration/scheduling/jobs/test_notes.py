"""Notes on jobs: added and read over the API and in the console, and deleted with the job."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.jobs.notes import service
from scheduling.jobs.notes.service import NoteInvalidError, NoteLimitError, add_note
from scheduling.models import Job, JobNote
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Role, Tenant
from tests.integration.scheduling.job_helpers import is_another_waiting, submit, wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def job(acme: Tenant) -> Job:
    return submit(acme)[0]


def address(job: Job) -> str:
    return f"/api/v1/jobs/{job.pk}/notes/"


def notes(tenant: Tenant) -> list[str]:
    with tenant_context(tenant):
        return list(JobNote.objects.order_by("id").values_list("text", flat=True))


def test_api_adds_and_lists_notes(acme: Tenant, acme_api: APIClient, job: Job) -> None:
    first = acme_api.post(address(job), {"text": " Customer called.\nOrder 4711 "})
    assert first.status_code == 201, first.content
    assert first.json()["text"] == "Customer called.\nOrder 4711"
    assert first.json()["author"].startswith("api_key:")
    acme_api.post(address(job), {"text": "second"})
    listed = acme_api.get(address(job), {"limit": 1}).json()
    assert [row["id"] for row in listed["results"]] == [first.json()["id"]]
    assert listed["next"]
    with all_tenants():
        entry = AuditLogEntry.objects.filter(action="job.noted", target_id=str(job.pk)).earliest("id")
    assert entry.after == {"note": first.json()["id"], "characters": 27}


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 4_097, "ü" * 2_049, "a\x1bb", "a\u202eb"])
def test_unreadable_and_long_notes_are_refused(acme: Tenant, job: Job, text: str) -> None:
    with tenant_context(acme), pytest.raises(NoteInvalidError):
        add_note(job_id=job.pk, text=text)
    assert notes(acme) == []


def test_number_of_notes_is_limited(acme: Tenant, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_NOTES", 2)
    with tenant_context(acme):
        for text in ("one", "two\twith a tab"):
            add_note(job_id=job.pk, text=text)
        with pytest.raises(NoteLimitError):
            add_note(job_id=job.pk, text="three")


@pytest.mark.django_db(transaction=True)
def test_second_of_two_concurrent_notes_sees_the_first(
    transactional_db: None, acme: Tenant, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_NOTES", 1)

    def add() -> None:
        try:
            with tenant_context(acme):
                add_note(job_id=job.pk, text="second")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), tenant_context(acme):
            add_note(job_id=job.pk, text="first")
            second = pool.submit(add)
            wait_until(lambda: second.done() or is_another_waiting())
        with pytest.raises(NoteLimitError):
            second.result(timeout=20)
    assert notes(acme) == ["first"]


def test_notes_of_another_tenant_are_not_found(
    api_client: Callable[[Tenant], APIClient], acme: Tenant, globex: Tenant, job: Job
) -> None:
    globex_api = api_client(globex)
    assert globex_api.get(address(job)).status_code == 404
    assert globex_api.post(address(job), {"text": "x"}).status_code == 404
    with tenant_context(acme):
        add_note(job_id=job.pk, text="ours")
    assert notes(globex) == []


def test_console_adds_and_shows_notes(acme: Tenant, acme_user: User, job: Job) -> None:
    client = Client()
    client.force_login(acme_user)
    page = reverse("admin:scheduling_job_change", args=[job.pk])
    assert "No notes yet." in client.get(page).content.decode()
    done = client.post(reverse("admin:scheduling_job_notes", args=[job.pk]), {"text": "line 1\r\n<b>line 2"})
    assert (done.status_code, done["Location"]) == (302, f"{page}#job-notes")
    assert notes(acme) == ["line 1\n<b>line 2"]
    shown = client.get(page).content.decode()
    assert "line 1<br>&lt;b&gt;line 2" in shown
    refused = client.post(reverse("admin:scheduling_job_notes", args=[job.pk]), {"text": ""}, follow=True)
    assert "A note must have" in refused.content.decode()
    viewer = User.objects.create_user("vera", is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client.force_login(viewer)
    shown = client.get(page).content.decode()
    assert "line 1" in shown
    assert 'id="job-note"' not in shown
    assert client.post(reverse("admin:scheduling_job_notes", args=[job.pk]), {"text": "x"}).status_code == 403
