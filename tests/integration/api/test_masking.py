"""Masking: payloads and results are shown only by right, and each reveal by the platform is audited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.jobs.masking import summarize
from scheduling.models import DeadLetter, Execution, Job
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.console.polled_parts import STOP_POLLING
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Role, Tenant
from tests.integration.api.conftest import session_of
from tests.keys import issue_api_key

API = "/api/v1/"
SECRET = "the-owners-own-affair"


@pytest.fixture
def secret_job(dead_job: Job) -> Job:
    """Return a dead job of acme whose payload, checkpoint and result contain a secret."""
    with all_tenants():
        job = Job.objects.get(pk=dead_job.pk)
        job.payload, job.result, job.checkpoint = {"iban": SECRET}, {"answer": SECRET}, {"half": SECRET}
        job.save(update_fields=["payload", "result", "checkpoint"])
        return Job.objects.get(pk=dead_job.pk)


def platform_user(name: str, role: str) -> User:
    user = User.objects.create_user(name)
    grant_platform_role(user=user, role=role)
    return user


def looks() -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action="job.payload_revealed").order_by("id"))


def key_client(tenant: Tenant, *scopes: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=tenant, name='k', scopes=scopes).token}")
    return client


def test_payload_is_shown_to_developers_and_owners(
    acme: Tenant, acme_user: User, outsider: User, secret_job: Job
) -> None:
    add_member(tenant=acme, user=outsider, role=Role.DEVELOPER)
    for client in (session_of(acme_user), session_of(outsider)):
        job = client.get(f"{API}jobs/{secret_job.pk}/").json()
        assert (job["payload"], job["result"], job["is_masked"]) == ({"iban": SECRET}, {"answer": SECRET}, False)
    assert looks() == []


def test_key_reads_the_result_with_its_scope_and_never_the_payload(acme: Tenant, secret_job: Job) -> None:
    job = key_client(acme, "jobs.view", "jobs.results").get(f"{API}jobs/{secret_job.pk}/").json()
    assert (job["payload"], job["result"], job["is_masked"]) == (None, {"answer": SECRET}, True)


def test_payload_is_masked_for_all_others(acme: Tenant, viewer_api: APIClient, secret_job: Job) -> None:
    clients = [viewer_api, key_client(acme, "jobs.view")]
    clients += [session_of(platform_user(role, role)) for role in ("auditor", "operator")]
    for client in clients:
        answer = client.get(f"{API}jobs/{secret_job.pk}/")
        job = answer.json()
        assert (job["payload"], job["result"], job["is_masked"]) == (None, None, True)
        assert SECRET not in answer.content.decode()
    assert looks() == []


def test_payload_read_by_an_admin_is_audited_in_the_tenant(acme: Tenant, staff_api: APIClient, secret_job: Job) -> None:
    for headers in ({"X-Tenant": "acme"}, {}):
        assert staff_api.get(f"{API}jobs/{secret_job.pk}/", headers=headers).json()["payload"] == {"iban": SECRET}
    first, second = looks()
    assert {first.tenant_id, second.tenant_id} == {acme.pk}
    assert (first.actor_label, first.target_id) == ("stella", str(secret_job.pk))


def test_retry_by_an_admin_reveals_nothing(acme: Tenant, staff_api: APIClient, secret_job: Job) -> None:
    answer = staff_api.post(f"{API}jobs/{secret_job.pk}/retry/", headers={"X-Tenant": "acme"})
    assert (answer.status_code, answer.json()["is_masked"]) == (201, True)
    assert looks() == []


def places(job: Job) -> Iterator[str]:
    """Return all other addresses that show part of a job."""
    with all_tenants():
        execution, letter = Execution.objects.get(job_id=job.pk), DeadLetter.objects.get(job_id=job.pk)
    yield from (f"{API}jobs/", f"{API}jobs/{job.pk}/events/", f"{API}jobs/{job.pk}/executions/")
    yield from (f"{API}executions/{execution.pk}/", f"{API}dead-letters/", f"{API}dead-letters/groups/")
    yield from (f"{API}audit-log/", f"{API}batches/")
    for model in ("job", "execution", "deadletter", "jobevent", "charge", "batch"):
        yield reverse(f"admin:scheduling_{model}_changelist")
    yield reverse("admin:scheduling_job_change", args=[job.pk])
    yield reverse("admin:scheduling_job_body", args=[job.pk])
    yield reverse("admin:scheduling_execution_change", args=[execution.pk])
    yield reverse("admin:scheduling_deadletter_change", args=[letter.pk])
    yield reverse("admin:index")


def test_payload_is_in_no_list_history_or_page(acme: Tenant, acme_user: User, staff: User, secret_job: Job) -> None:
    for user in (acme_user, staff):
        client = Client()
        client.force_login(user)
        for place in places(secret_job):
            answer = client.get(place)
            assert answer.status_code in {200, STOP_POLLING}, place
            assert SECRET not in answer.content.decode(), place


def reveal(user: User, job: Job, reason: str = "ticket 7") -> Any:
    client = Client()
    client.force_login(user)
    return client.post(reverse("admin:scheduling_job_act", args=[job.pk, "reveal"]), {"reason": reason})


def test_console_reveals_the_payload_once_for_a_reason(acme_user: User, secret_job: Job) -> None:
    answer = reveal(acme_user, secret_job)
    assert answer.status_code == 200
    assert answer.content.decode().count(SECRET) == 3
    assert "no-store" in answer.headers["Cache-Control"]
    (entry,) = looks()
    assert (entry.actor_label, entry.reason, entry.target_id) == ("alice", "ticket 7", str(secret_job.pk))
    assert SECRET not in json.dumps([entry.before, entry.after])


def test_reveal_without_a_reason_is_refused(acme_user: User, secret_job: Job) -> None:
    answer = reveal(acme_user, secret_job, reason="  ")
    assert answer.status_code == 302
    assert looks() == []


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator"])
def test_reveal_without_the_right_is_refused_and_not_offered(
    acme: Tenant, outsider: User, secret_job: Job, role: str
) -> None:
    if role == "viewer":
        add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    else:
        grant_platform_role(user=outsider, role=role)
    answer = reveal(outsider, secret_job)
    assert answer.status_code == 403
    assert SECRET not in answer.content.decode()
    client = Client()
    client.force_login(outsider)
    page = client.get(reverse("admin:scheduling_job_change", args=[secret_job.pk])).content.decode()
    assert 'data-act="reveal"' not in page
    assert looks() == []


def test_reveal_of_another_tenants_job_is_not_found(globex_user: User, secret_job: Job) -> None:
    assert reveal(globex_user, secret_job).status_code == 404


def test_summary_contains_no_values() -> None:
    summary = summarize({"iban": SECRET, **{f"k{n:02}": n for n in range(30)}})
    assert (len(summary.keys), summary.has_more_keys) == (20, True)
    assert SECRET not in str(summary)
    assert summarize({"a": 1, "b": 2}) == summarize({"b": 2, "a": 1})
    assert summarize({"a": 1}).fingerprint != summarize({"a": 2}).fingerprint
    assert summarize(["x" * 100]).keys == ()
