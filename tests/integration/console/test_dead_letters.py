"""Dead letters in the console: requeued by a bulk operation, and one with an edited payload."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import DeadLetter, Job
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants, tenant_context
from tenants.models import Role, Tenant
from tests.form_data import posted
from tests.integration.console.admin_actions import Console, act_url, entries_of
from tests.integration.console.conftest import Work
from tests.integration.scheduling.bulk.conftest import take_turns

pytestmark = pytest.mark.django_db
START = "/admin/scheduling/bulkoperation/start/"


def store_dead_letters(
    tenant: Tenant, count: int, kind: str = "noop", payload: dict[str, Any] | None = None
) -> list[DeadLetter]:
    """Store dead letters of one cause as a settlement does."""
    with tenant_context(tenant):
        request = JobRequest(kind=kind, payload=payload or {})
        jobs = [done.job for _, done in submit_jobs(tenant=tenant, requests=[request] * count).accepted]
        Job.objects.filter(pk__in=[job.pk for job in jobs]).update(state="discarded", finished_at=timezone.now())
        return DeadLetter.objects.bulk_create(
            DeadLetter(
                tenant=tenant,
                job=job,
                kind=kind,
                reason=DeadLetter.Reason.PERMANENT_ERROR,
                error_type="ValueError",
                error_message=f"row {n} is bad",
                error_fingerprint="f" * 16,
                created_at=timezone.now(),
            )
            for n, job in enumerate(jobs)
        )


def text_of(client: Client, path: str, **query: str) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200
    return answer.content.decode()


def waiting(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return DeadLetter.objects.filter(requeued_at__isnull=True).count()


def test_viewer_sees_dead_letters_and_is_offered_no_act(console: Console, acme: Tenant) -> None:
    viewer = User.objects.create_user("vera", is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    store_dead_letters(acme, 1)
    client = console(viewer)
    assert "requeue by filter" not in text_of(client, reverse("admin:scheduling_deadletter_changelist"))
    assert client.get(START).status_code == 403


def test_dry_run_shows_the_count_and_the_first_dead_letters(console: Console, acme_user: User, acme: Tenant) -> None:
    store_dead_letters(acme, 7)
    client = console(acme_user)
    page = text_of(client, START, operation="requeue", filter="kind:noop requeued:no")
    assert "7 jobs match" in page
    assert "No jobs match this filter" in text_of(client, START, operation="requeue", filter="kind:sleep requeued:no")
    assert (waiting(acme), entries_of("bulk_operation.started")) == (7, [])


def test_cause_is_requeued_from_its_page_with_a_reason(console: Console, acme_user: User, acme: Tenant) -> None:
    store_dead_letters(acme, 3)
    store_dead_letters(acme, 1, kind="sleep", payload={"seconds": 1})
    form = {"operation": "requeue", "filter": f"kind:noop fingerprint:{'f' * 16} requeued:no", "reason": "mended"}
    assert console(acme_user).post(START, {**form, "run": "1"}).status_code == 302
    take_turns()
    assert waiting(acme) == 1
    (entry,) = entries_of("bulk_operation.ended")
    assert (entry.reason, entry.after["changed"]) == ("mended", 3)


def test_requeue_of_several_tenants_needs_the_number(
    console: Console, staff: User, acme: Tenant, globex: Tenant
) -> None:
    store_dead_letters(acme, 2), store_dead_letters(globex, 1)
    client = console(staff)
    form = {"operation": "requeue", "filter": "requeued:no", "reason": "x", "run": "1"}
    assert "type 3 to confirm" in client.post(START, {**form, "number": "2"}).content.decode()
    assert client.post(START, {**form, "filter": "requeued:no tenant:acme"}).status_code == 302
    take_turns()
    assert (waiting(acme), waiting(globex)) == (0, 1)
    assert client.post(START, {**form, "number": "1"}).status_code == 302
    take_turns()
    assert waiting(globex) == 0


def test_payload_patch_needs_the_right_to_reveal(console: Console, acme_user: User, acme: Tenant) -> None:
    operator = User.objects.create_user("olga", is_staff=True)
    grant_platform_role(user=operator, role="operator")
    store_dead_letters(acme, 2, payload={"a": 1})
    assert "payload_patch" not in text_of(console(operator), START)
    form = {"operation": "requeue", "filter": "tenant:acme requeued:no", "reason": "x", "run": "1"}
    patched = {**form, "payload_patch": '{"a": null, "b": 2}'}
    assert console(acme_user).post(START, patched).status_code == 302
    take_turns()
    with tenant_context(acme):
        payloads = [job.payload for job in Job.objects.filter(parent__isnull=False)]
    assert payloads == [{"b": 2}] * 2


def test_payload_patch_without_the_right_is_ignored(console: Console, acme: Tenant) -> None:
    operator = User.objects.create_user("olga", is_staff=True)
    grant_platform_role(user=operator, role="operator")
    store_dead_letters(acme, 1, payload={"a": 1})
    form = {"operation": "requeue", "filter": "tenant:acme requeued:no", "reason": "x", "run": "1"}
    console(operator).post(START, {**form, "payload_patch": '{"a": 2}'})
    take_turns()
    with tenant_context(acme):
        assert [job.payload for job in Job.objects.filter(parent__isnull=False)] == [{"a": 1}]


@pytest.mark.parametrize(
    ("patch", "words"), [("[1]", "It must be a JSON object"), ('{"a": 1, "a": 2}', "occurs twice")]
)
def test_payload_patch_errors_are_shown_beside_the_field(
    console: Console, acme_user: User, acme: Tenant, patch: str, words: str
) -> None:
    store_dead_letters(acme, 1)
    form = {"operation": "requeue", "filter": "requeued:no", "reason": "x", "run": "1", "payload_patch": patch}
    answer = console(acme_user).post(START, form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert waiting(acme) == 1


def test_ticked_dead_letters_are_requeued(console: Console, acme_user: User, acme: Tenant) -> None:
    letters = store_dead_letters(acme, 2)
    data = {"action": "requeue_selected", "reason": "mended", "_selected_action": [letter.pk for letter in letters]}
    url = reverse("admin:scheduling_deadletter_changelist")
    assert "2 of 2 jobs changed." in console(acme_user).post(url, data, follow=True).content.decode()
    assert waiting(acme) == 0


def test_dead_letter_page_shows_attempts_and_masks_the_payload(
    console: Console, acme_user: User, acme_work: Work
) -> None:
    with all_tenants():
        acme_work.failed.payload = {"iban": "the-secret"}
        acme_work.failed.save(update_fields=["payload"])
    page = text_of(console(acme_user), reverse("admin:scheduling_deadletter_change", args=[acme_work.letter.pk]))
    assert "Attempts, latest first" in page
    assert "acme broke" in page
    assert "the-secret" not in page
    assert "It was not requeued." in page


def test_edited_payload_is_validated_and_requeued_once(console: Console, acme_user: User, acme: Tenant) -> None:
    (letter,) = store_dead_letters(acme, 1, kind="sleep", payload={"seconds": 900})
    client = console(acme_user)
    opened = client.post(act_url("deadletter", letter.pk, "edit"), {"reason": "too long"})
    assert posted(opened.content.decode())["payload/seconds"] == "900"
    assert "no-store" in opened["Cache-Control"]
    assert len(entries_of("job.payload_revealed")) == 1
    address = reverse("admin:scheduling_deadletter_requeue_edited", args=[letter.pk])
    for typed, words in (("{", "line 1"), ('{"seconds": "long"}', "seconds"), ("7", "JSON object")):
        refused = client.post(address, {"payload": typed, "reason": "x"})
        assert refused.status_code == 422
        assert words in refused.content.decode()
    assert waiting(acme) == 1
    done = client.post(address, {"payload": '{"seconds": 1}', "reason": "too long"}, follow=True)
    with tenant_context(acme):
        job = Job.objects.get(parent_id=letter.job_id)
    assert job.payload == {"seconds": 1}
    page = done.content.decode()
    assert "A new job runs with the edited payload" in page
    # The old and the new job link to one another.
    assert "Replay of" in page
    assert str(letter.job_id) in page
    assert str(letter.pk) in page
    assert str(job.pk) in text_of(client, reverse("admin:scheduling_job_change", args=[letter.job_id]))
    assert str(job.pk) in text_of(client, reverse("admin:scheduling_deadletter_change", args=[letter.pk]))
    again = client.post(address, {"payload": '{"seconds": 1}'})
    assert "Already requeued" in again.content.decode()


def test_dead_letter_list_is_filtered_by_cause(
    console: Console, acme_user: User, acme: Tenant, acme_work: Work
) -> None:
    store_dead_letters(acme, 2)
    page = text_of(
        console(acme_user), reverse("admin:scheduling_deadletter_changelist"), requeued="no", kind="noop", q="f" * 16
    )
    assert "row 1 is bad" in page
    assert "acme broke" not in page
