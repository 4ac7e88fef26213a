"""Replay: an ended job runs again with another payload, from its own page."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.exceptions import InvalidTransitionError
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import replay_job
from scheduling.jobs.submission import submit_job
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Membership, Role, Tenant
from tests.form_data import posted
from tests.integration.console.admin_actions import Console, act_url, entries_of
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db


@pytest.fixture
def cancelled(acme: Tenant) -> Job:
    """Return a job of kind sleep that was cancelled before it started."""
    with tenant_context(acme):
        job = submit_job(tenant=acme, request=JobRequest(kind="sleep", payload={"seconds": 900})).job
        return cancel_job(job_id=job.pk, reason="too long")


def replays_of(job: Job, tenant: Tenant) -> list[Job]:
    with tenant_context(tenant):
        return list(Job.objects.filter(parent_id=job.pk))


def address_of(job: Job) -> str:
    return reverse("admin:scheduling_job_replay", args=[job.pk])


def test_cancelled_job_is_replayed_with_the_edited_payload(
    console: Console, acme_user: User, acme: Tenant, cancelled: Job
) -> None:
    client = console(acme_user)
    opened = client.post(act_url("job", cancelled.pk, "edit"), {"reason": "too long"})
    assert posted(opened.content.decode())["payload/seconds"] == "900"
    assert "no-store" in opened["Cache-Control"]
    assert [entry.target_id for entry in entries_of("job.payload_revealed")] == [str(cancelled.pk)]
    assert replays_of(cancelled, acme) == []

    done = client.post(address_of(cancelled), {"payload": '{"seconds": 1}', "reason": "short now"}, follow=True)
    [job] = replays_of(cancelled, acme)
    assert job.payload == {"seconds": 1}
    assert "A new job runs with the edited payload" in done.content.decode()
    assert str(job.pk) in done.redirect_chain[-1][0]
    [entry] = entries_of("job.retried")
    assert (entry.reason, entry.after["payloads_edited"]) == ("short now", 1)


@pytest.mark.parametrize(
    ("typed", "words"), [("{", "line 1"), ('{"seconds": "long"}', "seconds"), ("7", "JSON object"), ("", "required")]
)
def test_replay_errors_are_shown_beside_the_input(
    console: Console, acme_user: User, acme: Tenant, cancelled: Job, typed: str, words: str
) -> None:
    refused = console(acme_user).post(address_of(cancelled), {"payload": typed, "reason": "x"})
    assert refused.status_code == 422
    assert words in refused.content.decode()
    assert replays_of(cancelled, acme) == []


def test_dead_letter_is_replayed_once_from_either_page(
    console: Console, acme_user: User, acme: Tenant, acme_work: Work
) -> None:
    client = console(acme_user)
    client.post(address_of(acme_work.failed), {"payload": "{}"})
    [job] = replays_of(acme_work.failed, acme)
    with tenant_context(acme):
        assert DeadLetter.objects.get(pk=acme_work.letter.pk).requeued_job_id == job.pk
    again = client.post(address_of(acme_work.failed), {"payload": "{}"})
    assert "Already requeued" in again.content.decode()


def test_replay_of_a_waiting_job_is_not_offered_and_refused(
    console: Console, acme_user: User, acme: Tenant, acme_work: Work
) -> None:
    page = console(acme_user).get(reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]))
    assert 'data-act="edit"' not in page.content.decode()
    with tenant_context(acme), pytest.raises(InvalidTransitionError, match="available"):
        replay_job(job_id=acme_work.waiting.pk, payload={})


def test_replay_needs_the_right_to_see_the_payload(
    console: Console, acme_user: User, acme: Tenant, cancelled: Job
) -> None:
    with all_tenants():
        Membership.objects.filter(user=acme_user).update(role=Role.VIEWER)
    client = console(acme_user)
    page = client.get(reverse("admin:scheduling_job_change", args=[cancelled.pk])).content.decode()
    assert 'data-act="edit"' not in page
    assert client.post(act_url("job", cancelled.pk, "edit"), {"reason": "x"}).status_code == 403
    assert client.post(address_of(cancelled), {"payload": "{}"}).status_code == 403
    assert replays_of(cancelled, acme) == []


def test_replay_of_another_tenants_job_is_not_found(
    console: Console, acme_user: User, acme: Tenant, globex_work: Work, globex: Tenant
) -> None:
    assert console(acme_user).post(address_of(globex_work.failed), {"payload": "{}"}).status_code == 404
    assert replays_of(globex_work.failed, globex) == []
