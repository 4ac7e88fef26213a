"""Claims → roles: memberships made at the first sign-in, changed and taken at later ones, refused without a rule."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client

from scheduling.configuration.service import ConfiguredRowTakenError
from scheduling.identity.configured import CLAIM_RULES
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, ClaimRule, Membership, PlatformMembership, Role, Tenant
from tests.integration.tenants.identity.conftest import SignIn
from tests.oidc.server import NEEDS_NPM

pytestmark = pytest.mark.django_db


def rule(value: str, role: str, tenant: Tenant | None = None, **others: Any) -> ClaimRule:
    values = {"claim": "groups", "value": value, "role": role, "tenant": tenant, "is_confirmed": True, **others}
    return CLAIM_RULES.save(ClaimRule(), values)


def roles() -> dict[str, tuple[str, bool]]:
    with all_tenants():
        rows = Membership.objects.select_related("tenant")
        return {row.tenant.slug: (row.role, row.is_by_claims) for row in rows}


def actions() -> list[str]:
    with all_tenants():
        return list(AuditLogEntry.objects.order_by("pk").values_list("action", flat=True))


@NEEDS_NPM
class TestSignIn:
    def test_first_sign_in_makes_account_and_membership_and_opens_the_console(
        self, sign_in: SignIn, acme: Tenant
    ) -> None:
        rule("engineers", "developer", acme)
        client = Client()
        answer = sign_in(client, sub="1", preferred_username="maria", email="maria@example.org", groups=["engineers"])
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        assert client.get("/admin/").status_code == 200
        assert roles() == {"acme": ("developer", True)}
        user = User.objects.get()
        assert (user.username, user.email, user.has_usable_password()) == ("maria", "maria@example.org", False)
        assert {"user.created", "membership.added", "session.opened"} <= set(actions())

    def test_changed_claims_change_the_role_and_end_it(self, sign_in: SignIn, acme: Tenant, globex: Tenant) -> None:
        rule("engineers", "developer", acme)
        rule("leads", "owner", acme)
        rule("leads", "viewer", globex)
        sign_in(Client(), sub="1", groups=["engineers"])
        sign_in(Client(), sub="1", groups=["leads"])
        assert roles() == {"acme": ("owner", True), "globex": ("viewer", True)}
        assert sign_in(Client(), sub="1", groups=[]).status_code == 403
        assert roles() == {}
        assert User.objects.count() == 1

    def test_membership_given_by_hand_stays(self, sign_in: SignIn, acme: Tenant, globex: Tenant) -> None:
        rule("engineers", "developer", acme)
        sign_in(Client(), sub="1", groups=["engineers"])
        add_member(tenant=globex, user=User.objects.get(), role=Role.VIEWER)
        assert sign_in(Client(), sub="1", groups=[]).status_code == 302
        assert roles() == {"globex": ("viewer", False)}

    def test_sign_in_without_a_rule_is_refused_and_audited(self, sign_in: SignIn, acme: Tenant) -> None:
        rule("engineers", "developer", acme)
        client = Client()
        answer = sign_in(client, sub="17", groups=["others"])
        assert answer.status_code == 403
        assert "None of your groups gives you a role here." in answer.content.decode()
        assert client.get("/admin/").status_code == 302
        assert not User.objects.exists()
        with all_tenants():
            entry = AuditLogEntry.objects.get(action="session.refused")
        assert entry.after["subject"] == "17"

    def test_platform_role_is_given_and_the_last_admin_is_kept(self, sign_in: SignIn) -> None:
        rule("admins", "admin")
        sign_in(Client(), sub="1", groups=["admins"])
        assert sign_in(Client(), sub="1", groups=[]).status_code == 403
        with all_tenants():
            assert PlatformMembership.objects.get().role == "admin"
        User.objects.create_superuser("root")
        assert sign_in(Client(), sub="1", groups=[]).status_code == 403
        with all_tenants():
            assert not PlatformMembership.objects.exists()

    def test_address_of_another_account_gives_no_access_to_it(
        self, sign_in: SignIn, acme: Tenant, acme_user: User
    ) -> None:
        User.objects.filter(pk=acme_user.pk).update(email="alice@example.org")
        rule("guests", "viewer", acme)
        sign_in(Client(), sub="9", preferred_username="alice", email="alice@example.org", groups=["guests"])
        assert SocialAccount.objects.get().user != acme_user
        assert User.objects.count() == 2

    def test_deactivated_account_is_told_so(self, sign_in: SignIn, acme: Tenant) -> None:
        rule("engineers", "developer", acme)
        sign_in(Client(), sub="1", groups=["engineers"])
        User.objects.update(is_active=False)
        client = Client()
        answer = sign_in(client, sub="1", groups=["engineers"])
        assert (answer.status_code, "deactivated" in answer.content.decode()) == (403, True)
        assert client.get("/admin/").status_code == 302

    def test_joining_the_accounts_is_not_offered(self, sign_in: SignIn) -> None:
        assert Client().get("/admin/sign-in/oidc/?process=connect").status_code == 404


class TestRules:
    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"value": "*"}, "value"),
            ({"value": "  "}, "value"),
            ({"claim": " "}, "claim"),
            ({"claim": "iss", "value": "https://login.example.org"}, "claim"),
            ({"role": "admin"}, "role"),
        ],
    )
    def test_rule_for_everybody_or_nobody_is_refused(self, acme: Tenant, values: dict[str, Any], field: str) -> None:
        with pytest.raises(FieldInvalidError) as refusal:
            rule(**{"value": "engineers", "role": "viewer", "tenant": acme, **values})
        assert refusal.value.errors[0]["field"] == field

    @pytest.mark.parametrize(("value", "field"), [("*", "value"), ("absent", "is_confirmed"), ("all", "is_confirmed")])
    def test_such_a_rule_is_refused_at_the_api_and_in_the_console(
        self, acme: Tenant, staff: User, value: str, field: str
    ) -> None:
        for number in range(2):
            user = User.objects.create(username=f"known{number}")
            data = {"userinfo": {"groups": ["all"]}}
            SocialAccount.objects.create(user=user, provider="oidc", uid=str(number), extra_data=data)
        client = Client()
        client.force_login(staff)
        given = {"claim": "groups", "value": value, "tenant": "acme", "role": "viewer"}
        answer = client.post("/api/v1/claim-rules/", given, content_type="application/json")
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]
        page = client.post("/admin/tenants/claimrule/add/", {**given, "tenant": str(acme.pk)})
        assert page.status_code == 200
        assert list(page.context["adminform"].form.errors) == [field]
        assert not ClaimRule.objects.exists()

    def test_role_of_a_tenant_needs_one(self, db: None) -> None:
        with pytest.raises(FieldInvalidError):
            rule("engineers", "owner")

    def test_second_rule_of_the_same_claim_is_refused(self, acme: Tenant) -> None:
        rule("engineers", "viewer", acme)
        with pytest.raises(ConfiguredRowTakenError):
            rule("engineers", "owner", acme)

    @pytest.mark.parametrize(
        ("groups", "is_warned"),
        [([[], []], True), ([["engineers"], []], False), ([["engineers"], ["engineers"]], True), ([], False)],
    )
    def test_rule_that_reaches_none_or_all_known_accounts_needs_confirmation(
        self, acme: Tenant, groups: list[list[str]], is_warned: bool
    ) -> None:
        for number, names in enumerate(groups):
            user = User.objects.create(username=f"known{number}")
            SocialAccount.objects.create(
                user=user, provider="oidc", uid=str(number), extra_data={"userinfo": {"groups": names}}
            )
        if is_warned:
            with pytest.raises(FieldInvalidError) as refusal:
                rule("engineers", "viewer", acme, is_confirmed=False)
            assert refusal.value.errors[0]["field"] == "is_confirmed"
            rule("engineers", "viewer", acme)
        else:
            rule("engineers", "viewer", acme, is_confirmed=False)

    def test_claim_within_another_is_found_among_known_accounts(self, acme: Tenant) -> None:
        for number, names in enumerate((["ops"], [])):
            user = User.objects.create(username=f"known{number}")
            data = {"id_token": {"realm_access": {"roles": names}}}
            SocialAccount.objects.create(user=user, provider="oidc", uid=str(number), extra_data=data)
        rule("ops", "viewer", acme, claim="realm_access.roles", is_confirmed=False)
