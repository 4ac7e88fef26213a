"""Access reviews: the snapshot, decisions that revoke, refusals, and the record that a review was done."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.identity.configured import TENANT_ROLES
from tenants.access.api_keys import issue_api_key as issue_platform_key
from tenants.access.api_keys import revoke_api_key
from tenants.access.memberships import add_member, change_role, remove_member
from tenants.access.people import grant_platform_role
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.exceptions import LastAdminError, LastOwnerError
from tenants.models import (
    AccessReview,
    AccessReviewLine,
    ApiKey,
    AuditLogEntry,
    Membership,
    PlatformMembership,
    Role,
    Tenant,
    TenantRole,
)
from tenants.reviews import service
from tenants.reviews.exceptions import AccessReviewForbiddenError, AccessReviewLimitError, AccessReviewOpenError
from tenants.reviews.service import close_review, decide, open_review, refresh_review
from tests.integration.api.conftest import session_of
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
REVIEWS, LINES = "/api/v1/access-reviews/", "/api/v1/access-review-lines/"


def line_of(review: AccessReview, subject: str, kind: str = "member") -> AccessReviewLine:
    with all_tenants():
        return AccessReviewLine.objects.get(review=review, subject__startswith=subject, kind=kind)


def settle(review: AccessReview, decision: str, *lines: AccessReviewLine, **options: Any) -> AccessReview:
    with all_tenants():
        return decide(review_id=review.pk, line_ids=[line.pk for line in lines], decision=decision, **options)


def keep_rest(review: AccessReview) -> None:
    with all_tenants():
        lines = list(AccessReviewLine.objects.filter(review=review, decision="open"))
    settle(review, "keep", *lines)


def entries(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


@pytest.fixture
def owner(acme: Tenant) -> User:
    user = User.objects.create_user("olga")
    add_member(tenant=acme, user=user, role=Role.OWNER)
    return user


@pytest.fixture
def bob(acme: Tenant) -> User:
    user = User.objects.create_user("bob")
    add_member(tenant=acme, user=user, role=Role.DEVELOPER)
    return user


@pytest.fixture
def narrowed(acme: Tenant) -> TenantRole:
    with tenant_context(acme):
        return TENANT_ROLES.save(TenantRole(), {"name": "loader", "rights": ["jobs.view"], "kinds": ["noop"]})


class TestSnapshot:
    def test_it_has_the_people_roles_and_keys_of_the_tenant_only(
        self, acme: Tenant, owner: User, globex_user: User, narrowed: TenantRole
    ) -> None:
        add_member(tenant=acme, user=User.objects.create_user("lena"), role="loader")
        issue_api_key(tenant=acme, name="ci", scopes=["jobs.view"])
        revoke_api_key(api_key=issue_api_key(tenant=acme, name="old", scopes=["jobs.view"]).key)
        review = open_review(tenant=acme)
        with tenant_context(acme):
            lines = list(AccessReviewLine.objects.filter(review=review))
        assert [(line.kind, line.subject.split()[0], line.role) for line in lines] == [
            ("member", "lena", "loader"),
            ("member", "olga", "owner"),
            ("key", "ci", ""),
            ("role", "loader", "loader"),
        ]
        assert (lines[0].grants["rights"], lines[0].grants["kinds"]) == (["jobs.view"], ["noop"])
        assert lines[2].grants["scopes"] == ["jobs.view"]
        assert entries("access_review.opened")[0].after == {"lines": 4}

    def test_that_of_the_platform_has_accounts_roles_and_keys(self, staff: User, acme_user: User) -> None:
        User.objects.create_user("gone", is_active=False)
        issue_platform_key(tenant=None, name="saas", scopes=["tenants.manage"])
        review = open_review(tenant=None)
        with all_tenants():
            lines = set(AccessReviewLine.objects.filter(review=review).values_list("kind", "role"))
            subjects = set(AccessReviewLine.objects.filter(review=review, kind="account").values_list("subject"))
        assert lines == {("account", ""), ("platform_role", "admin"), ("platform_key", "")}
        assert subjects == {(staff.username,), (acme_user.username,)}

    def test_second_open_review_of_a_tenant_is_refused(self, acme: Tenant, globex: Tenant) -> None:
        open_review(tenant=acme)
        open_review(tenant=globex)
        open_review(tenant=None)
        for tenant in (acme, None):
            with pytest.raises(AccessReviewOpenError):
                open_review(tenant=tenant)

    def test_too_many_lines_store_nothing(self, acme: Tenant, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MOST_LINES", 0)
        with pytest.raises(AccessReviewLimitError):
            open_review(tenant=acme)
        with all_tenants():
            assert not AccessReview.objects.exists()

    def test_1000_users_are_opened_by_the_same_statements(self, acme: Tenant, owner: User) -> None:
        with CaptureQueriesContext(connection) as few:
            first = open_review(tenant=acme)
        close_empty(first)
        users = User.objects.bulk_create([User(username=f"user-{number:04}") for number in range(1_000)])
        with tenant_context(acme):
            Membership.objects.bulk_create([Membership(tenant=acme, user=user) for user in users])
        with CaptureQueriesContext(connection) as many:
            review = open_review(tenant=acme)
        with all_tenants():
            assert review.lines.count() == 1_001
        assert len(many) <= len(few)


def close_empty(review: AccessReview) -> None:
    keep_rest(review)
    with all_tenants():
        close_review(review_id=review.pk)


class TestDecisions:
    def test_revoked_member_and_key_lose_access_in_the_same_transaction(
        self, acme: Tenant, owner: User, bob: User
    ) -> None:
        with acting_as(Actor("user", str(bob.pk), "bob")):
            issue_api_key(tenant=acme, name="bobs", scopes=["jobs.view"])
        key = issue_api_key(tenant=acme, name="ci", scopes=["jobs.view"]).key
        review = open_review(tenant=acme)
        settle(review, "revoke", line_of(review, "bob"), line_of(review, "ci", "key"), note="left")
        with all_tenants():
            assert not Membership.objects.filter(user=bob).exists()
            assert ApiKey.objects.get(pk=key.pk).revoked_at
        decided = line_of(review, "bob")
        assert (decided.decision, decided.note, decided.is_own) == ("revoke", "left", False)
        assert line_of(review, "bobs", "key").decision == "ended"
        entry = entries("access_review.decided")[0]
        assert ((entry.after or {})["lines"], entry.reason, entry.tenant_id) == (2, "left", acme.pk)
        assert (len(entries("membership.removed")), len(entries("api_key.revoked"))) == (1, 2)

    def test_role_is_deleted_once_no_one_has_it(self, acme: Tenant, owner: User, narrowed: TenantRole) -> None:
        add_member(tenant=acme, user=User.objects.create_user("lena"), role="loader")
        review = open_review(tenant=acme)
        settle(review, "revoke", line_of(review, "loader", "role"), line_of(review, "lena"))
        with all_tenants():
            assert not TenantRole.objects.exists()

    def test_platform_role_account_and_key_are_revoked(self, staff: User, acme_user: User) -> None:
        auditor = User.objects.create_user("ann")
        grant_platform_role(user=auditor, role="auditor")
        key = issue_platform_key(tenant=None, name="saas", scopes=["tenants.manage"]).key
        review = open_review(tenant=None)
        kinds = [("ann", "platform_role"), (acme_user.username, "account"), ("saas", "platform_key")]
        settle(review, "revoke", *(line_of(review, name, kind) for name, kind in kinds))
        acme_user.refresh_from_db()
        with all_tenants():
            assert not PlatformMembership.objects.filter(user=auditor).exists()
            assert ApiKey.objects.get(pk=key.pk).revoked_at
        assert not acme_user.is_active

    def test_last_owner_and_last_admin_stay(self, acme: Tenant, owner: User, staff: User) -> None:
        of_tenant, of_platform = open_review(tenant=acme), open_review(tenant=None)
        with pytest.raises(LastOwnerError):
            settle(of_tenant, "revoke", line_of(of_tenant, "olga"))
        with pytest.raises(LastAdminError):
            settle(of_platform, "revoke", line_of(of_platform, staff.username, "platform_role"))
        assert line_of(of_tenant, "olga").decision == "open"

    def test_one_refused_line_leaves_all_undecided(self, acme: Tenant, owner: User, bob: User) -> None:
        review = open_review(tenant=acme)
        with pytest.raises(LastOwnerError):
            settle(review, "revoke", line_of(review, "bob"), line_of(review, "olga"))
        assert line_of(review, "bob").decision == "open"
        with all_tenants():
            assert Membership.objects.filter(user=bob).exists()

    def test_key_needs_the_right_to_manage_keys(self, acme: Tenant, owner: User) -> None:
        issue_api_key(tenant=acme, name="ci", scopes=["jobs.view"])
        review = open_review(tenant=acme)
        with pytest.raises(AccessReviewForbiddenError):
            settle(review, "revoke", line_of(review, "ci", "key"), may=lambda right: right == "members.manage")
        with pytest.raises(AccessReviewForbiddenError):
            open_review(tenant=None, may=lambda right: right == "members.manage")


class TestOwnLines:
    def test_another_reviewer_must_decide(self, acme: Tenant, acme_user: User, owner: User) -> None:
        review = open_review(tenant=acme)
        body = {"decision": "keep", "lines": [str(line_of(review, "olga").pk)]}
        refused = session_of(owner).post(f"{REVIEWS}{review.pk}/decide/", body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (403, "access_line_own")
        done = session_of(acme_user).post(f"{REVIEWS}{review.pk}/decide/", body, format="json")
        assert (done.status_code, done.json()["keep_lines"]) == (200, 1)

    def test_only_reviewer_decides_and_the_line_is_marked(self, acme: Tenant, owner: User, bob: User) -> None:
        review = open_review(tenant=acme)
        body = {"decision": "keep", "lines": [str(line_of(review, name).pk) for name in ("olga", "bob")]}
        assert session_of(owner).post(f"{REVIEWS}{review.pk}/decide/", body, format="json").status_code == 200
        assert (line_of(review, "olga").is_own, line_of(review, "bob").is_own) == (True, False)
        assert (entries("access_review.decided")[0].after or {})["own"] == 1


class TestChangesSinceTheSnapshot:
    def test_changed_line_is_told_and_nothing_is_revoked(self, acme: Tenant, owner: User, bob: User) -> None:
        review = open_review(tenant=acme)
        with tenant_context(acme):
            change_role(membership=Membership.objects.get(user=bob), role=Role.OWNER)
        body = {"decision": "revoke", "lines": [str(line_of(review, "bob").pk)]}
        refused = session_of(owner).post(f"{REVIEWS}{review.pk}/decide/", body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "access_line_changed")
        assert "Changed since the snapshot: bob" in refused.json()["detail"]
        with all_tenants():
            assert Membership.objects.filter(user=bob).exists()
            refresh_review(review_id=review.pk)
        assert line_of(review, "bob").role == "owner"
        settle(review, "revoke", line_of(review, "bob"))
        assert entries("access_review.refreshed")[0].after == {"changed": 1, "ended": 0}

    def test_vanished_line_ends_at_the_refresh(self, acme: Tenant, owner: User, bob: User) -> None:
        review = open_review(tenant=acme)
        with tenant_context(acme):
            remove_member(membership=Membership.objects.get(user=bob))
        with all_tenants():
            refresh_review(review_id=review.pk)
            refresh_review(review_id=review.pk)
        assert line_of(review, "bob").decision == "ended"
        assert len(entries("access_review.refreshed")) == 1


class TestClosing:
    def test_it_needs_a_decision_about_each_line_and_is_the_end(self, acme: Tenant, owner: User, bob: User) -> None:
        review, api = open_review(tenant=acme), session_of(owner)
        settle(review, "keep", line_of(review, "bob"))
        undecided = api.post(f"{REVIEWS}{review.pk}/close/")
        assert (undecided.status_code, undecided.json()["code"]) == (409, "access_review_undecided")
        keep_rest(review)
        closed = api.post(f"{REVIEWS}{review.pk}/close/").json()
        assert (closed["closed_by"], closed["open_lines"], closed["keep_lines"]) == ("user:olga", 0, 2)
        after = entries("access_review.closed")[0].after or {}
        assert after == {"open": 0, "keep": 2, "revoke": 0, "ended": 0, "sha256": closed["sha256"]}
        body = {"decision": "revoke", "lines": [str(line_of(review, "bob").pk)]}
        for path, content in (("decide/", body), ("refresh/", {}), ("close/", {})):
            refused = api.post(f"{REVIEWS}{review.pk}/{path}", content, format="json")
            assert (refused.status_code, refused.json()["code"]) == (409, "access_review_closed")

    def test_decision_is_final(self, acme: Tenant, owner: User, bob: User) -> None:
        review = open_review(tenant=acme)
        settle(review, "keep", line_of(review, "bob"))
        body = {"decision": "revoke", "lines": [str(line_of(review, "bob").pk)]}
        refused = session_of(owner).post(f"{REVIEWS}{review.pk}/decide/", body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "access_line_decided")


class TestInterfaces:
    def test_api_opens_lists_filters_and_exports(self, acme: Tenant, owner: User, bob: User) -> None:
        api = session_of(owner)
        opened = api.post(REVIEWS, {}, format="json")
        assert (opened.status_code, opened.json()["open_lines"], opened.json()["tenant"]) == (201, 2, "acme")
        review = opened.json()["id"]
        lines = api.get(LINES, {"review": review, "decision": "open"}).json()["results"]
        assert [line["subject"] for line in lines] == ["bob", "olga"]
        assert api.get(LINES, {"review": review, "decision": "keep"}).json()["results"] == []
        assert api.get(LINES, {"kind": "member"}).status_code == 400
        for path in (REVIEWS, LINES):
            answer = api.get(path, {"format": "csv"})
            text = b"".join(answer.streaming_content).decode()
            assert answer.status_code == 200
            assert text.startswith("id,")
        for bad in ({"decision": "maybe", "lines": [lines[0]["id"]]}, {"decision": "keep", "lines": []}):
            assert api.post(f"{REVIEWS}{review}/decide/", bad, format="json").status_code == 422
        strange = {"decision": "keep", "lines": [review]}
        assert api.post(f"{REVIEWS}{review}/decide/", strange, format="json").status_code == 404

    def test_other_tenant_and_key_decide_nothing(self, acme: Tenant, owner: User, globex_user: User) -> None:
        key = APIClient()
        key.credentials(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=acme, name='ci').token}")
        review = open_review(tenant=acme)
        body = {"decision": "keep", "lines": [str(line_of(review, "olga").pk)]}
        other = session_of(globex_user)
        assert other.get(REVIEWS).json()["results"] == other.get(LINES).json()["results"] == []
        assert other.post(f"{REVIEWS}{review.pk}/decide/", body, format="json").status_code == 404
        assert key.post(f"{REVIEWS}{review.pk}/decide/", body, format="json").status_code == 403

    def test_console_opens_keeps_selected_revokes_and_closes(self, acme: Tenant, owner: User, bob: User) -> None:
        client = Client()
        client.force_login(owner)
        assert "No access reviews yet" in client.get("/admin/tenants/accessreview/").content.decode()
        added: Any = client.post("/admin/tenants/accessreview/add/", {})
        assert (added.status_code, added.url.split("?")[0]) == (302, "/admin/tenants/accessreviewline/")
        assert "bob" in client.get(added.url).content.decode()
        with all_tenants():
            review = AccessReview.objects.get()
        ticked = {"action": "keep_selected", "_selected_action": [str(line_of(review, "olga").pk)], "reason": "known"}
        client.post("/admin/tenants/accessreviewline/", ticked)
        assert (line_of(review, "olga").decision, line_of(review, "olga").note) == ("keep", "known")
        revoke = reverse("admin:tenants_accessreviewline_act", args=[line_of(review, "bob").pk, "revoke"])
        client.post(revoke, {"reason": "left"})
        assert line_of(review, "bob").decision == "revoke"
        page = client.post(reverse("admin:tenants_accessreview_act", args=[review.pk, "close"]), follow=True)
        assert "The review is closed." in page.content.decode()

    def test_command_records_a_review(self, acme: Tenant, owner: User, bob: User) -> None:
        def run(*words: str) -> Any:
            out = StringIO()
            call_command("access_reviews", *words, "--json", stdout=out)
            return json.loads(out.getvalue())

        review = run("open", "--tenant", "acme")[0]["pk"]
        line = next(line for line in run("lines", review) if line["subject"] == "bob")
        assert run("revoke", review, line["pk"], "--note", "left")[0]["revoke_lines"] == 1
        with pytest.raises(CommandError, match="access_review_undecided"):
            run("close", review)
        assert run("keep", review, "--open")[0]["open_lines"] == 0
        assert run("refresh", review)[0]["keep_lines"] == 1
        assert run("close", review)[0]["closed_by"].startswith("command:")
        assert len(run("list")) == 1
        with pytest.raises(CommandError, match="Name the id"):
            run("close", "x")
