"""Bulk operations in the console: from the list of jobs to a preview, a start, progress, an end and an undo."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.bulk import starting
from scheduling.models import BulkOperation, Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tests.integration.console.admin_actions import Console, act_url
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
START = "/admin/scheduling/bulkoperation/start/"
LIST = "/admin/scheduling/bulkoperation/"


def only_operation() -> BulkOperation:
    with all_tenants():
        return BulkOperation.objects.get()


def form_of(answer: Any) -> Any:
    return answer.context["form"]


def test_job_list_links_to_each_bulk_operation_with_its_filter(acme: Tenant, acme_user: User, console: Console) -> None:
    page = console(acme_user).get("/admin/scheduling/job/", {"state": "available"}).content.decode()
    for operation in ("retry", "cancel", "move_queue"):
        assert f"{START}?operation={operation}&amp;filter=state%3Aavailable" in page


def test_form_of_an_operation_has_only_its_fields(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme)
    client = console(acme_user)
    none = form_of(client.get(START, {"filter": "kind:noop"}))
    assert not {"priority", "queue", "payload_patch"} & set(none.fields)
    assert none["operation"].value() in (None, "")
    # A link to an operation that needs a value asks for it, and is no error.
    moved = client.get(START, {"filter": "kind:noop", "operation": "move_queue"})
    assert (moved.status_code, form_of(moved).is_bound) == (200, False)
    assert "queue" in form_of(moved).fields
    assert "priority" not in form_of(moved).fields
    assert client.post(START, {"filter": "kind:noop", "operation": "", "preview": "1"}).status_code == 422


def test_bulk_preview_starts_nothing_until_the_second_press(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme, 7)
    client = console(acme_user)
    asked = {"filter": "kind:noop", "operation": "cancel"}
    shown = client.post(START, {**asked, "preview": "1"})
    assert shown.status_code == 200
    words = shown.content.decode()
    assert "7 jobs match" in words
    with all_tenants():
        assert not BulkOperation.objects.exists()
    ticket = form_of(shown).data["ticket"]
    late = submit(acme)[0]
    without = client.post(START, {**asked, "run": "1", "ticket": ticket})
    assert without.status_code == 422
    started = client.post(START, {**asked, "run": "1", "ticket": ticket, "reason": "a flood"})
    operation = only_operation()
    page = reverse("admin:scheduling_bulkoperation_change", args=[operation.pk])
    assert (started.status_code, started.headers["Location"]) == (302, page)
    body = client.get(page).content.decode()
    assert 'hx-trigger="every 1s"' in body
    part = reverse("admin:scheduling_bulkoperation_part", args=[operation.pk])
    first = client.get(part)
    assert first.status_code == 200
    assert "HX-Refresh" not in first.headers
    take_turns()
    ended = client.get(part)
    assert "7 of 7 processed jobs changed" in ended.content.decode()
    assert "0 jobs a second" not in ended.content.decode()
    # The times and actions of the page are loaded again.
    assert ended.headers["HX-Refresh"] == "true"
    assert act_url("bulkoperation", operation.pk, "abort") not in client.get(page).content.decode()
    # Polling stops once the operation has ended.
    assert part not in client.get(page).content.decode()
    assert "cancel" in client.get(LIST).content.decode()
    with all_tenants():
        assert Job.objects.get(pk=late.pk).state == "available"


def test_bulk_preview_shows_its_effect_and_what_is_ineligible(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme, 2, priority=1)
    submit(acme)
    client = console(acme_user)
    cancel = client.post(START, {"filter": "kind:noop", "operation": "cancel", "preview": "1"}).content.decode()
    assert "Other tenants are not shown." in cancel
    same = {"filter": "kind:noop", "operation": "reprioritise", "priority": "1", "preview": "1"}
    words = client.post(START, same).content.decode()
    assert "has this value already" in words
    assert "no other tenant waits longer" in words


def test_bulk_operation_beyond_the_count_limit_shows_no_total(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme)
    client = console(acme_user)
    client.post(START, {"filter": "kind:noop", "operation": "cancel", "run": "1", "reason": "x"})
    operation = only_operation()
    with all_tenants():
        BulkOperation.objects.update(is_expected_capped=True, expected=10_000)
    part = reverse("admin:scheduling_bulkoperation_part", args=[operation.pk])
    assert "More than 10,000 jobs match" in client.get(part).content.decode()


def test_link_with_a_filter_and_an_operation_is_a_preview(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme)
    shown = console(acme_user).get(START, {"filter": "kind:noop", "operation": "discard"})
    assert "1 jobs match" in shown.content.decode()
    with all_tenants():
        assert not BulkOperation.objects.exists()


def test_large_bulk_operation_needs_the_number_of_jobs(
    acme: Tenant, acme_user: User, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "UNTYPED_JOBS", 2)
    submit(acme, 3)
    client = console(acme_user)
    asked = {"filter": "kind:noop", "operation": "cancel", "run": "1", "reason": "x"}
    refused = client.post(START, {**asked, "number": "4"})
    assert refused.status_code == 422
    assert "type 3" in refused.content.decode()
    assert client.post(START, {**asked, "number": "3"}).status_code == 302


def test_invalid_bulk_form_is_refused_with_its_errors(acme: Tenant, acme_user: User, console: Console) -> None:
    client = console(acme_user)
    wrong = client.post(START, {"filter": "colour:red", "operation": "cancel", "preview": "1"})
    assert wrong.status_code == 422
    assert "colour" in wrong.content.decode()
    missing = client.post(START, {"filter": "kind:noop", "operation": "move_queue", "preview": "1"})
    assert missing.status_code == 422


def test_bulk_operation_is_aborted_and_undone_by_buttons(acme: Tenant, acme_user: User, console: Console) -> None:
    submit(acme)
    client = console(acme_user)
    asked = {"filter": "kind:noop", "operation": "reprioritise", "priority": "2", "run": "1", "reason": "x"}
    client.post(START, asked)
    take_turns()
    done = only_operation()
    undone = client.post(act_url("bulkoperation", done.pk, "undo"), {"reason": "a mistake"})
    with all_tenants():
        undoing = BulkOperation.objects.get(undo_of=done)
    assert undone.headers["Location"].endswith(f"{undoing.pk}/change/")
    client.post(act_url("bulkoperation", undoing.pk, "abort"), {"reason": "after all not"})
    with all_tenants():
        assert BulkOperation.objects.get(pk=undoing.pk).state == "aborted"


def test_viewer_cannot_start_a_bulk_operation(acme: Tenant, console: Console) -> None:
    viewer = User.objects.create_user("vera", password="x", is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client: Client = console(viewer)
    assert client.get(START).status_code == 403
    assert client.post(START, {"filter": "kind:noop", "operation": "cancel", "run": "1"}).status_code == 403
    assert client.get(LIST).status_code == 200
    assert "Bulk action" not in client.get("/admin/scheduling/job/").content.decode()
