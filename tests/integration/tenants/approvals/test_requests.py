"""Acts that need a second person: refused with a request, done by the approval of another one, named in the log."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.bulk import starting
from scheduling.bulk.starting import start_bulk_operation
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.requests import JobRequest
from scheduling.models import BulkOperation
from scheduling.sites.service import promote
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.approvals import service
from tenants.approvals.exceptions import ApprovalForbiddenError, ApprovalRequiredError
from tenants.approvals.service import approve, require_approval, storing_requests
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import (
    ApiKey,
    ApprovalRequest,
    ApprovalRule,
    ApprovalStatus,
    AuditLogEntry,
    Plan,
    PlanVersion,
    Role,
    Tenant,
    TenantErasure,
)
from tenants.plans.service import PLANS, update_plan
from tenants.tenancy.service import suspend_tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
BULK, REQUESTS = "/api/v1/bulk-operations/", "/api/v1/approval-requests/"
CANCEL = {"filter": "kind:noop", "operation": "cancel", "reason": "a flood"}


def rule(act: str, **values: Any) -> ApprovalRule:
    return APPROVAL_RULES.save(ApprovalRule(), {"act": act, **values})


def the_request() -> ApprovalRequest:
    with all_tenants():
        return ApprovalRequest.objects.get()


def entry(action: str) -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.get(action=action)


@pytest.fixture
def bob(acme: Tenant) -> APIClient:
    """Return a session of another developer of acme."""
    user = User.objects.create_user("bob")
    add_member(tenant=acme, user=user, role=Role.DEVELOPER)
    return session_of(user)


@pytest.fixture
def second(db: None) -> User:
    """Return another admin of the platform."""
    user = User.objects.create_user("sigrid")
    grant_platform_role(user=user, role="admin")
    return user


class TestBulkOperations:
    def test_small_one_needs_no_second_person(self, acme: Tenant, acme_user: User) -> None:
        rule("bulk", above=2)
        submit(acme, 2)
        assert session_of(acme_user).post(BULK, CANCEL, format="json").status_code == 201

    def test_large_one_is_started_by_the_approval_of_another_with_the_same_jobs(
        self, acme: Tenant, acme_user: User, bob: APIClient
    ) -> None:
        rule("bulk", above=2)
        submit(acme, 3)
        alice = session_of(acme_user)
        refused = alice.post(BULK, CANCEL, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "approval_required")
        made = the_request()
        assert refused.headers["Location"] == reverse("admin:tenants_approvalrequest_change", args=[made.pk])
        assert alice.post(BULK, CANCEL, format="json").json()["errors"][0]["detail"] == str(made.pk)
        own = alice.post(f"{REQUESTS}{made.pk}/approve/", {}, format="json")
        assert (own.status_code, own.json()["code"]) == (403, "approval_forbidden")
        submit(acme, 1)
        done = bob.post(f"{REQUESTS}{made.pk}/approve/", {"reason": "right"}, format="json")
        assert (done.status_code, done.json()["status"]) == (200, "done")
        with all_tenants():
            assert BulkOperation.objects.get().expected == 3
        after = entry("approval_request.approved").after or {}
        assert (after["requested_by"], after["decided_by"]) == ("user:alice", "user:bob")
        assert bob.post(f"{REQUESTS}{made.pk}/approve/", {}, format="json").json()["code"] == "approval_request_closed"

    def test_approval_outlives_the_ticket_of_the_preview(
        self, acme: Tenant, acme_user: User, bob: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rule("bulk")
        submit(acme, 1)
        session_of(acme_user).post(BULK, CANCEL, format="json")
        monkeypatch.setattr(starting, "TICKET_SECONDS", -1)
        assert bob.post(f"{REQUESTS}{the_request().pk}/approve/", {}, format="json").status_code == 200

    def test_key_of_the_approver_counts_as_the_same_person(self, acme: Tenant, acme_user: User) -> None:
        rule("bulk")
        submit(acme, 1)
        with acting_as(Actor("user", str(acme_user.pk), "alice")):
            token = issue_api_key(tenant=acme, name="mine").token
        key = APIClient()
        key.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
        assert key.post(BULK, CANCEL, format="json").status_code == 409
        pk = the_request().pk
        assert key.post(f"{REQUESTS}{pk}/approve/", {}, format="json").status_code == 403
        assert session_of(acme_user).post(f"{REQUESTS}{pk}/approve/", {}, format="json").status_code == 403

    def test_key_without_an_issuer_cannot_ask(self, acme: Tenant) -> None:
        rule("bulk")
        submit(acme, 1)
        key = APIClient()
        key.credentials(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=acme, name='first').token}")
        refused = key.post(BULK, CANCEL, format="json")
        assert (refused.status_code, refused.json()["code"]) == (403, "approval_forbidden")
        with all_tenants():
            assert not ApprovalRequest.objects.exists()

    def test_one_person_cannot_take_all_places_of_requests(
        self, acme: Tenant, acme_user: User, bob: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rule("bulk")
        submit(acme, 1)
        monkeypatch.setattr(service, "MOST_OPEN_OF_PERSON", 1)
        alice, other = session_of(acme_user), {**CANCEL, "filter": "kind:noop state:available"}
        assert alice.post(BULK, CANCEL, format="json").json()["code"] == "approval_required"
        assert alice.post(BULK, other, format="json").json()["code"] == "approval_limit"
        assert bob.post(BULK, other, format="json").json()["code"] == "approval_required"

    def test_undoing_and_cancelling_a_batch_need_a_second_person_too(self, acme: Tenant, acme_user: User) -> None:
        batch, _ = open_batch(tenant=acme, label="b", requests=[JobRequest("noop", {})] * 2)
        with tenant_context(acme):
            operation = start_bulk_operation(
                filter_text="kind:noop", operation="reprioritise", parameters={"priority": 3}, reason="x", number=2
            )
        take_turns()
        rule("bulk", above=1)
        alice = session_of(acme_user)
        undone = alice.post(f"{BULK}{operation.pk}/undo/", {"reason": "x"}, format="json")
        cancelled = alice.post(f"/api/v1/batches/{batch.pk}/cancel/", {"reason": "x"}, format="json")
        assert [answer.json()["code"] for answer in (undone, cancelled)] == ["approval_required"] * 2

    def test_request_has_no_hash_of_a_confidential_patch(self, acme: Tenant) -> None:
        rule("bulk")
        submit(acme, 1)
        patched = {"filter_text": "kind:noop", "operation": "retry", "parameters": {}, "payload_patch": {"n": 1}}
        alice = Actor("user", "7", "alice")
        with storing_requests(), tenant_context(acme), acting_as(alice), pytest.raises(ApprovalRequiredError):
            start_bulk_operation(**patched, reason="x")
        assert the_request().arguments["ticket"] == ""

    def test_rejected_and_expired_ones_start_nothing(self, acme: Tenant, acme_user: User, bob: APIClient) -> None:
        rule("bulk")
        submit(acme, 1)
        session_of(acme_user).post(BULK, CANCEL, format="json")
        first = the_request()
        assert bob.post(f"{REQUESTS}{first.pk}/reject/", {}, format="json").json()["code"] == "reason_required"
        assert bob.post(f"{REQUESTS}{first.pk}/reject/", {"reason": "no"}, format="json").status_code == 200
        session_of(acme_user).post(BULK, CANCEL, format="json")
        with all_tenants():
            second = ApprovalRequest.objects.exclude(pk=first.pk).get()
            ApprovalRequest.objects.filter(pk=second.pk).update(expires_at=Now() - timedelta(seconds=1))
        late = bob.post(f"{REQUESTS}{second.pk}/approve/", {}, format="json")
        assert (late.status_code, late.json()["code"]) == (409, "approval_request_closed")
        with all_tenants():
            assert not BulkOperation.objects.exists()


class TestActsOfThePlatform:
    def test_erasure_is_asked_for_by_the_command_and_approved_in_the_console(self, acme: Tenant, staff: User) -> None:
        rule("erasure")
        suspend_tenant(tenant=acme, reason="gone")
        with pytest.raises(CommandError, match="approval_required: A second person must approve"):
            call_command("erase_tenant", "acme", "--reason", "contract ended", "--confirm", "acme")
        made = the_request()
        with pytest.raises(CommandError, match="Another person than command:"):
            call_command("approvals", "approve", str(made.pk))
        client = Client()
        client.force_login(staff)
        page = client.get(reverse("admin:tenants_approvalrequest_change", args=[made.pk])).content.decode()
        assert "Erase the tenant acme: contract ended" in page
        client.post(reverse("admin:tenants_approvalrequest_act", args=[made.pk, "approve"]), {"reason": "yes"})
        with all_tenants():
            assert TenantErasure.objects.get().requested_by == "user:stella"
        # The tenant's own chain is deleted with it.
        assert entry("approval_request.approved").tenant_id is None

    def test_plan_is_changed_by_the_approval(self, staff: User, second: User) -> None:
        rule("plan")
        plan = Plan.objects.get(slug="team")
        with storing_requests(), pytest.raises(ApprovalRequiredError), acting_as(Actor("user", str(staff.pk), "s")):
            update_plan(plan=plan, changes={"weight": 7})
        with acting_as(Actor("user", str(second.pk), "sigrid")), all_tenants():
            approve(request_id=the_request().pk)
        plan.refresh_from_db()
        assert plan.weight == 7

    def test_scheduled_plan_and_its_withdrawal_need_a_second_person(self, staff: User, second: User) -> None:
        plan, later = Plan.objects.get(slug="team"), read_clock() + timedelta(days=9)
        with acting_as(Actor("user", str(staff.pk), "s")):
            update_plan(plan=plan, changes={"weight": 7}, effective_from=later)
            rule("plan")
            # The same content again, at a time when another is in effect.
            with storing_requests(), pytest.raises(ApprovalRequiredError):
                update_plan(plan=plan, changes={}, effective_from=later + timedelta(days=1))
            with storing_requests(), pytest.raises(ApprovalRequiredError):
                PLANS.withdraw(plan, 2, reason="a mistake")
        with all_tenants():
            made = ApprovalRequest.objects.get(arguments__withdraw=2)
        with acting_as(Actor("user", str(second.pk), "sigrid")), all_tenants():
            approve(request_id=made.pk)
        assert PlanVersion.objects.get(plan=plan, number=2).outcome == PlanVersion.Outcome.WITHDRAWN

    def test_plan_of_a_tenant_is_changed_by_the_approval(self, acme: Tenant, staff: User, second: User) -> None:
        rule("plan")
        refused = session_of(staff).patch("/api/v1/tenants/acme/", {"plan": "sandbox"}, format="json")
        assert refused.json()["code"] == "approval_required"
        done = session_of(second).post(f"{REQUESTS}{the_request().pk}/approve/", {}, format="json")
        assert done.status_code == 200, done.content
        with all_tenants():
            assert Tenant.objects.get(pk=acme.pk).plan.slug == "sandbox"

    def test_key_that_reads_results_is_issued_once_after_the_approval(
        self, acme: Tenant, acme_user: User, second: User
    ) -> None:
        rule("api_key")
        alice, url = session_of(acme_user), "/api/v1/api-keys/"
        assert alice.post(url, {"name": "w", "scopes": ["jobs.view"]}, format="json").status_code == 201
        wanted = {"name": "reader", "scopes": ["jobs.view", "jobs.results"]}
        assert alice.post(url, wanted, format="json").json()["code"] == "approval_required"
        done = session_of(second).post(f"{REQUESTS}{the_request().pk}/approve/", {}, format="json")
        assert done.json()["status"] == "approved"
        # Neither the approver nor other terms use it.
        assert session_of(second).post(url, wanted, format="json", headers={"X-Tenant": "acme"}).status_code == 409
        for more in ({"never_expires": True}, {"allowed_addresses": ["10.0.0.0/8"]}):
            assert alice.post(url, {**wanted, **more}, format="json").json()["code"] == "approval_required"
        assert alice.post(url, wanted, format="json").status_code == 201
        assert entry("approval_request.used")
        assert alice.post(url, wanted, format="json").json()["code"] == "approval_required"
        with all_tenants():
            assert ApiKey.objects.filter(name="reader").count() == 1

    def test_promotion_is_asked_for_by_a_command_and_repeated(self, staff: User) -> None:
        rule("promote")
        out = StringIO()
        with pytest.raises(CommandError, match="approval_required"):
            call_command("promote")
        call_command("approvals", "list", "--json", stdout=out)
        (line,) = json.loads(out.getvalue())
        with acting_as(Actor("user", str(staff.pk), "stella")), all_tenants():
            approve(request_id=line["pk"])
        call_command("promote", stdout=StringIO())
        assert (entry("approval_request.used").after or {})["decided_by"] == "user:stella"
        assert the_request().status == ApprovalStatus.DONE

    def test_promotion_in_an_emergency_needs_a_reason_only(self) -> None:
        rule("promote")
        call_command("promote", "--emergency", "the old site burnt down", stdout=StringIO())
        assert entry("site.promoted").reason == "the old site burnt down"

    def test_platform_itself_needs_no_second_person(self) -> None:
        rule("promote")
        promote()

    def test_request_by_name_serves_acts_that_the_call_repeats(self) -> None:
        rule("promote")
        out = StringIO()
        call_command("approvals", "request", "promote", '{"site": "eu"}', "--json", stdout=out)
        assert json.loads(out.getvalue())["id"] == str(the_request().pk)
        with pytest.raises(CommandError, match="Ask for one of: promote"):
            call_command("approvals", "request", "erasure")

    def test_user_of_the_shell_is_one_person_on_all_hosts(self) -> None:
        rule("promote")
        with storing_requests(), pytest.raises(ApprovalRequiredError), acting_as(Actor("command", "", "ops@pod-1")):
            require_approval("promote", {}, preview="promote")
        with acting_as(Actor("command", "", "ops@pod-2")), all_tenants(), pytest.raises(ApprovalForbiddenError):
            approve(request_id=the_request().pk)


class TestRules:
    def test_rules_are_guarded_by_a_rule(self, staff: User, second: User) -> None:
        guarded, url = rule("erasure"), "/api/v1/approval-rules/"
        rule("policy")
        refused = session_of(staff).delete(f"{url}{guarded.pk}/")
        assert refused.json()["code"] == "approval_required"
        assert session_of(second).post(f"{REQUESTS}{the_request().pk}/approve/", {}, format="json").status_code == 200
        assert session_of(staff).delete(f"{url}{guarded.pk}/").status_code == 204

    def test_number_is_for_bulk_operations(self, staff: User) -> None:
        refused = session_of(staff).post("/api/v1/approval-rules/", {"act": "plan", "above": 3}, format="json")
        assert refused.status_code == 422


def test_database_refuses_a_decision_of_the_requester(acme: Tenant) -> None:
    values = {"act": "bulk", "arguments": {}, "digest": "d", "preview": "p", "is_repeated": False, "expires_at": Now()}
    with all_tenants():
        row = ApprovalRequest.objects.create(requester="user:7", requested_by="user:alice", **values)
        with pytest.raises(IntegrityError, match="approval_by_another"), transaction.atomic():
            ApprovalRequest.objects.filter(pk=row.pk).update(status="done", decider="user:7", decided_at=Now())


def test_failed_act_leaves_the_request_undecided(acme: Tenant, staff: User) -> None:
    rule("erasure")
    suspend_tenant(tenant=acme, reason="gone")
    with pytest.raises(CommandError):
        call_command("erase_tenant", "acme", "--reason", "contract ended", "--confirm", "acme")
    call_command("reinstate_tenant", "acme", stdout=StringIO())
    answer = session_of(staff).post(f"{REQUESTS}{the_request().pk}/approve/", {}, format="json")
    assert answer.json()["code"] == "erasure_refused"
    assert the_request().status == ApprovalStatus.PENDING


def test_act_needs_its_permission_too(acme: Tenant) -> None:
    rule("api_key")
    with storing_requests(), pytest.raises(ApprovalRequiredError), acting_as(Actor("user", "7", "alice")):
        issue_api_key(tenant=acme, name="reader", scopes=["jobs.results"])
    with acting_as(Actor("user", "8", "bob")), all_tenants(), pytest.raises(ApprovalForbiddenError):
        approve(request_id=the_request().pk, may=lambda _permission: False)


def test_members_see_requests_of_their_own_acts_only(acme: Tenant, globex_user: User, bob: APIClient) -> None:
    rule("api_key")
    with storing_requests(), pytest.raises(ApprovalRequiredError), acting_as(Actor("user", "7", "alice")):
        issue_api_key(tenant=acme, name="reader", scopes=["jobs.results"])
    assert bob.get(REQUESTS).json()["results"] == []
    assert session_of(globex_user).get(f"{REQUESTS}{the_request().pk}/").status_code == 404
