"""`bulk-operations/`: preview, start with its right, progress, abort, undo, isolation between tenants."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.bulk import starting
from scheduling.models import BulkOperation, Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
URL = "/api/v1/bulk-operations/"
CANCEL = {"filter": "kind:noop", "operation": "cancel", "reason": "a flood"}


def test_bulk_operation_is_previewed_started_and_read_until_it_ends(acme: Tenant, acme_api: APIClient) -> None:
    jobs = submit(acme, 3)
    preview = acme_api.post(URL, {**CANCEL, "dry_run": True}, format="json")
    assert preview.status_code == 200
    previewed = preview.json()
    assert (previewed["count"], previewed["eligible"], previewed["needs_number"], previewed["ineligible"]) == (
        3,
        3,
        False,
        {},
    )
    assert [row["id"] for row in previewed["sample"]] == [str(job.pk) for job in jobs]
    assert {line["tenant"] for line in previewed["effect"]["lines"]} <= {"acme"}
    assert set(previewed["effect"]["notes"]) >= {"estimate", "own_only"}
    with all_tenants():
        assert not BulkOperation.objects.exists()
    started = acme_api.post(URL, {**CANCEL, "ticket": previewed["ticket"]}, format="json")
    assert started.status_code == 201
    one = started.headers["Location"]
    assert acme_api.get(one).json()["state"] == "pending"
    take_turns()
    ended = acme_api.get(one).json()
    assert (ended["state"], ended["seen"], ended["changed"], ended["tenant"]) == ("completed", 3, 3, "acme")
    assert ended["progress"]["share"] == 1.0
    assert [row["id"] for row in acme_api.get(URL).json()["results"]] == [ended["id"]]


def test_bulk_operation_is_aborted_once(acme: Tenant, acme_api: APIClient) -> None:
    submit(acme)
    one = acme_api.post(URL, CANCEL, format="json").json()["id"]
    assert acme_api.post(f"{URL}{one}/abort/", {}, format="json").status_code == 422
    assert acme_api.post(f"{URL}{one}/abort/", {"reason": "no"}, format="json").json()["state"] == "aborted"
    again = acme_api.post(f"{URL}{one}/abort/", {"reason": "no"}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "bulk_operation_ended")


def test_reversible_bulk_operation_is_undone(acme: Tenant, acme_api: APIClient) -> None:
    submit(acme)
    asked = {**CANCEL, "operation": "reprioritise", "priority": 2}
    one = acme_api.post(URL, asked, format="json").json()["id"]
    early = acme_api.post(f"{URL}{one}/undo/", {"reason": "no"}, format="json")
    assert (early.status_code, early.json()["code"]) == (409, "bulk_not_undoable")
    take_turns()
    undo = acme_api.post(f"{URL}{one}/undo/", {"reason": "no"}, format="json")
    assert (undo.status_code, undo.json()["undo_of"]) == (201, one)


def test_large_bulk_operation_needs_the_number_of_jobs(
    acme: Tenant, acme_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "UNTYPED_JOBS", 2)
    submit(acme, 3)
    refused = acme_api.post(URL, CANCEL, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "bulk_number")
    assert refused.json()["errors"][0]["number"] == 3
    assert acme_api.post(URL, {**CANCEL, "number": 3}, format="json").status_code == 201


def test_bulk_cancel_needs_the_right_to_cancel(acme: Tenant) -> None:
    submit(acme)
    client = APIClient()
    token = issue_api_key(tenant=acme, name="narrow", scopes=["jobs.view", "jobs.bulk"]).token
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
    assert client.post(URL, CANCEL, format="json").status_code == 403
    assert client.post(URL, {**CANCEL, "operation": "retry"}, format="json").status_code == 403
    allowed = client.post(URL, {**CANCEL, "operation": "reprioritise", "priority": 1}, format="json")
    assert allowed.status_code == 201


def test_bulk_operation_is_hidden_from_other_tenants(acme: Tenant, acme_api: APIClient, globex_api: APIClient) -> None:
    submit(acme)
    one = acme_api.post(URL, CANCEL, format="json").json()["id"]
    assert globex_api.get(URL).json()["results"] == []
    assert globex_api.get(f"{URL}{one}/").status_code == 404
    assert globex_api.post(f"{URL}{one}/abort/", {"reason": "x"}, format="json").status_code == 404
    assert globex_api.post(f"{URL}{one}/undo/", {"reason": "x"}, format="json").status_code == 404


def test_platform_bulk_operation_without_tenant_reaches_all_tenants(
    acme: Tenant, globex: Tenant, acme_api: APIClient, staff_api: APIClient
) -> None:
    submit(acme)
    submit(globex)
    refused = staff_api.post(URL, CANCEL, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["number"]) == (409, 2)
    preview = staff_api.post(URL, {**CANCEL, "dry_run": True}, format="json").json()
    assert (preview["count"], preview["needs_number"]) == (2, True)
    started = staff_api.post(URL, {**CANCEL, "ticket": preview["ticket"], "number": 2}, format="json")
    assert (started.status_code, started.json()["tenant"]) == (201, None)
    one = started.headers["Location"]
    assert acme_api.get(one).status_code == 404
    take_turns()
    ended = staff_api.get(one).json()
    assert (ended["state"], ended["changed"]) == ("completed", 2)


def test_platform_aborts_a_bulk_operation_over_all_tenants(acme: Tenant, globex: Tenant, staff_api: APIClient) -> None:
    submit(acme)
    submit(globex)
    one = staff_api.post(URL, {**CANCEL, "number": 2}, format="json").headers["Location"]
    assert staff_api.post(f"{one}abort/", {"reason": "no"}, format="json").json()["state"] == "aborted"


def test_bulk_operation_of_a_tenants_key_stays_within_the_tenant(
    acme: Tenant, globex: Tenant, acme_api: APIClient
) -> None:
    submit(acme)
    submit(globex)
    started = acme_api.post(URL, CANCEL, format="json")
    assert (started.status_code, started.json()["tenant"], started.json()["expected"]) == (201, "acme", 1)
    take_turns()
    with all_tenants():
        assert set(Job.objects.values_list("tenant__slug", "state")) == {("acme", "cancelled"), ("globex", "available")}


def test_member_of_two_tenants_must_name_one_for_a_bulk_operation(
    acme: Tenant, globex: Tenant, acme_user: User
) -> None:
    add_member(tenant=globex, user=acme_user, role=Role.OWNER)
    refused = session_of(acme_user).post(URL, CANCEL, format="json")
    assert (refused.status_code, refused.json()["code"]) == (400, "tenant_required")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"filter": "colour:red"}, 400, "filter_syntax"),
        ({"filter": "  "}, 422, ""),
        ({"operation": "delete"}, 422, ""),
        ({"operation": "reprioritise"}, 422, "field_invalid"),
        ({"operation": "reprioritise", "priority": "2"}, 422, ""),
        ({"priority": 2}, 422, "field_invalid"),
        ({"operation": "move_queue", "queue": "nowhere"}, 404, "not_found"),
        ({"reason": ""}, 422, "reason_required"),
        ({"ticket": "forged"}, 409, "bulk_preview_stale"),
        ({"colour": "red"}, 422, ""),
    ],
)
def test_invalid_bulk_operation_is_refused(
    acme_api: APIClient, changes: dict[str, object], status: int, code: str
) -> None:
    answer = acme_api.post(URL, {**CANCEL, **changes}, format="json")
    assert answer.status_code == status, answer.content
    if code:
        assert answer.json()["code"] == code


def test_reroute_is_started_by_the_platform_over_all_tenants(
    acme: Tenant, acme_api: APIClient, staff_api: APIClient
) -> None:
    body = {"operation": "reroute", "reason": "new rules"}
    assert acme_api.post(URL, body, format="json").status_code == 403
    for unfit in ({"filter": "kind:noop"}, {"dry_run": True}, {"priority": 1}):
        assert staff_api.post(URL, {**body, **unfit}, format="json").status_code == 422
    named = staff_api.post(URL, body, format="json", headers={"X-Tenant": "acme"})
    assert (named.status_code, named.json()["code"]) == (422, "field_invalid")
    started = staff_api.post(URL, body, format="json")
    assert started.status_code == 201
    assert (started.json()["operation"], started.json()["tenant"]) == ("reroute", None)
    refused = staff_api.post(f"{started.headers['Location']}abort/", {"reason": "no"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")


def test_filter_is_required_by_every_operation_but_reroute(acme: Tenant, acme_api: APIClient) -> None:
    refused = acme_api.post(URL, {"operation": "cancel", "reason": "x"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "bulk_filter_empty")
