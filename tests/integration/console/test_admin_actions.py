"""Console acts: they need POST, write an audit entry with the change, and need their right."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse

from scheduling.jobs.lifecycle import JobState
from scheduling.models import CFSPlan, Job, KindPause, Queue
from scheduling.stops.pauses import pause_kind
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, ErasureStatus, Membership, Role, Tenant, TenantErasure
from tenants.tenancy.service import suspend_tenant
from tests.integration.console.admin_actions import Console, act_url, entries_of
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db


def _state(job_id: UUID) -> str:
    with all_tenants():
        return Job.objects.get(pk=job_id).state


def test_acts_are_refused_by_get(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    rows = {
        "job": acme_work.waiting.pk,
        "deadletter": acme_work.letter.pk,
        "queue": Queue.objects.get(name="dataset").pk,
        "cfsplan": CFSPlan.objects.get(name="community").pk,
    }
    before = _entries_of_everything()
    for model, model_admin in admin.site._registry.items():
        for name in getattr(model_admin, "post_actions", ()):
            url_name = f"admin:{model._meta.app_label}_{model._meta.model_name}_act"
            key = rows.get(model._meta.model_name, acme_work.tenant.pk)
            assert client.get(reverse(url_name, args=[key, name])).status_code == 405, (model, name)
    assert _entries_of_everything() == before


def test_acts_on_ticked_rows_are_refused_by_get(console: Console, staff: User, acme_work: Work) -> None:
    query = {"action": "cancel_selected", "_selected_action": str(acme_work.waiting.pk), "index": "0"}
    console(staff).get(reverse("admin:scheduling_job_changelist"), query)
    assert _state(acme_work.waiting.pk) == JobState.AVAILABLE


def test_jobs_cannot_be_edited_and_history_cannot_be_deleted(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    page = reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk])
    assert client.post(page, {"state": "completed"}).status_code == 405
    for model, key in {"job": acme_work.waiting.pk, "execution": acme_work.execution.pk}.items():
        assert client.post(reverse(f"admin:scheduling_{model}_delete", args=[key]), {"post": "yes"}).status_code == 403
        assert client.post(reverse(f"admin:scheduling_{model}_add"), {}).status_code == 403
    for model in ("execution", "jobevent", "charge", "liveexecution", "fairsharenode", "deadletter", "batch"):
        model_admin = next(a for m, a in admin.site._registry.items() if m._meta.model_name == model)
        assert "delete_selected" not in (model_admin.actions or ())


def test_cancel_is_shown_and_audited(console: Console, acme_user: User, acme_work: Work) -> None:
    response = console(acme_user).post(
        act_url("job", acme_work.waiting.pk, "cancel"), {"reason": "sent by mistake"}, follow=True
    )
    assert "The job is cancelled." in response.content.decode()
    assert _state(acme_work.waiting.pk) == JobState.CANCELLED
    [entry] = entries_of("job.cancelled")
    assert (entry.reason, entry.actor_label, entry.tenant_id) == ("sent by mistake", "alice", acme_work.tenant.pk)


def test_invalid_act_is_refused_with_a_message(console: Console, staff: User, acme_work: Work) -> None:
    response = console(staff).post(act_url("job", acme_work.failed.pk, "cancel"), {"reason": "x"}, follow=True)
    assert response.status_code == 200
    assert "cannot be cancelled" in response.content.decode()
    assert entries_of("job.cancelled") == []


def test_requeue_creates_a_new_job_linked_to_the_old(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    response = client.post(act_url("deadletter", acme_work.letter.pk, "requeue"), {"reason": "fixed"})
    with all_tenants():
        child = Job.objects.get(parent_id=acme_work.failed.pk)
    assert response.url == reverse("admin:scheduling_job_change", args=[child.pk])
    assert child.tenant_id == acme_work.tenant.pk
    assert [entry.reason for entry in entries_of("job.retried")] == ["fixed"]
    again = client.post(act_url("deadletter", acme_work.letter.pk, "requeue"), {"reason": "fixed"}, follow=True)
    assert "Already requeued" in again.content.decode()


def test_ticked_jobs_are_retried_and_cancelled_with_an_entry_per_tenant(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(staff)
    url = reverse("admin:scheduling_job_changelist")
    retried = {
        "action": "retry_selected",
        "reason": "night shift",
        "_selected_action": [acme_work.failed.pk, globex_work.failed.pk],
    }
    assert "2 of 2 jobs changed." in client.post(url, retried, follow=True).content.decode()
    ended_of = {entry.tenant_id: entry.reason for entry in entries_of("bulk_operation.ended")}
    assert ended_of == dict.fromkeys([None, acme_work.tenant.pk, globex_work.tenant.pk], "night shift")
    cancelled = {"action": "cancel_selected", "reason": "tidy", "_selected_action": [acme_work.waiting.pk]}
    page = client.post(url, cancelled, follow=True).content.decode()
    assert "1 of 1 jobs changed." in page
    assert "Show the bulk operation" in page
    assert _state(acme_work.waiting.pk) == JobState.CANCELLED
    started = [entry.tenant_id for entry in entries_of("bulk_operation.started")]
    assert len(started) == 2
    assert set(started) == {None, acme_work.tenant.pk}
    again = client.post(url, {**cancelled, "reason": ""}, follow=True).content.decode()
    assert "0 of 1 jobs changed." in again
    assert "1 not changed: cancelled" in again


def test_ticked_rows_of_another_tenant_stay_unchanged(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    data = {"action": "cancel_selected", "reason": "x", "_selected_action": [globex_work.waiting.pk]}
    console(acme_user).post(reverse("admin:scheduling_job_changelist"), data)
    assert _state(globex_work.waiting.pk) == JobState.AVAILABLE


def test_act_on_another_tenants_job_is_not_found(console: Console, acme_user: User, globex_work: Work) -> None:
    client = console(acme_user)
    assert client.post(act_url("job", globex_work.waiting.pk, "cancel"), {"reason": "x"}).status_code == 404
    assert _state(globex_work.waiting.pk) == JobState.AVAILABLE


def test_viewer_is_offered_and_allowed_no_act(console: Console, acme_user: User, acme_work: Work) -> None:
    with tenant_context(acme_work.tenant):
        Membership.objects.update(role=Role.VIEWER)
    client = console(acme_user)
    page = client.get(reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]))
    assert page.context["post_actions"] == []
    assert client.post(act_url("job", acme_work.waiting.pk, "cancel"), {"reason": "x"}).status_code == 403
    data = {"action": "cancel_selected", "reason": "x", "_selected_action": [acme_work.waiting.pk]}
    client.post(reverse("admin:scheduling_job_changelist"), data)
    assert _state(acme_work.waiting.pk) == JobState.AVAILABLE


def test_erasure_needs_the_slug_and_can_be_cancelled(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    suspend_tenant(tenant=acme, reason="contract ended")
    erase = reverse("admin:tenants_tenant_act", args=[acme.pk, "erase"])
    client.post(erase, {"reason": "contract ended", "confirm": "acne"})
    with all_tenants():
        assert not TenantErasure.objects.exists()
    client.post(erase, {"reason": "contract ended", "confirm": "acme"})
    with all_tenants():
        erasure = TenantErasure.objects.get()
    assert erasure.requested_by == "user:stella"
    page = client.get(reverse("admin:tenants_tenanterasure_change", args=[erasure.pk])).content.decode()
    assert 'data-act="cancel"' in page
    client.post(reverse("admin:tenants_tenanterasure_act", args=[erasure.pk, "cancel"]), {"reason": "a mistake"})
    with all_tenants():
        assert TenantErasure.objects.get().status == ErasureStatus.CANCELLED


def test_failed_write_leaves_no_audit_entry(
    console: Console, staff: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_afterwards(**_: object) -> None:
        pause_kind(kind="noop", reason="half done")
        raise RuntimeError("after the write")

    monkeypatch.setattr("scheduling.stops.admin.pause_kind", fail_afterwards)
    client = console(staff)
    client.raise_request_exception = False
    response = client.post(reverse("admin:scheduling_kindpause_add"), {"kind": "noop", "reason": "x"})
    assert response.status_code == 500
    assert not KindPause.objects.exists()
    assert entries_of("kind.paused") == []


def _entries_of_everything() -> int:
    with all_tenants():
        return AuditLogEntry.objects.count()
