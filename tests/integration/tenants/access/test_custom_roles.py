"""Roles that tenants make of the named rights: what they give, who may give them, and their deletion."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from scheduling.evidence.review import review_access
from scheduling.identity.configured import TENANT_ROLES
from tenants.access.errors import InvitationInvalidError, RightNotHeldError, RoleInUseError
from tenants.access.invitations import accept_invitation, invite
from tenants.access.memberships import add_member, change_role, remove_member
from tenants.access.permissions import Permission
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.identity.rules import roles_of
from tenants.models import AuditLogEntry, ClaimRule, Membership, Role, Tenant, TenantRole
from tests.keys import issue_api_key
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db
PREFIX = "/api/v1/"


def make_role(tenant: Tenant, name: str = "reviewer", **values: Any) -> TenantRole:
    with tenant_context(tenant):
        return TENANT_ROLES.save(TenantRole(), {"name": name, "rights": ["jobs.view", "logs.view"], **values})


def make_user(name: str) -> Any:
    return get_user_model().objects.create_user(name)


def client_of(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def test_member_has_the_rights_of_the_role_and_no_others(acme: Tenant) -> None:
    role, user = make_role(acme), make_user("rita")
    add_member(tenant=acme, user=user, role="reviewer")
    client = client_of(user)
    assert client.get(f"{PREFIX}jobs/").status_code == 200
    assert client.get(f"{PREFIX}errors/").status_code == 200
    assert client.post(f"{PREFIX}jobs/", {"kind": "noop"}, format="json").status_code == 403
    with tenant_context(acme):
        TENANT_ROLES.save(role, {"rights": ["jobs.view", "jobs.submit"]})
    assert client.post(f"{PREFIX}jobs/", {"kind": "noop"}, format="json").status_code == 201
    assert client.get("/admin/scheduling/job/").status_code == 200


def test_role_of_another_tenant_is_unknown(acme: Tenant, globex: Tenant) -> None:
    make_role(globex)
    with pytest.raises(FieldInvalidError):
        add_member(tenant=acme, user=make_user("rita"), role="reviewer")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "owner"}, "name"),
        ({"name": "Not a slug"}, "name"),
        ({"rights": []}, "rights"),
        ({"rights": ["platform.view"]}, "rights"),
        ({"rights": ["nothing"]}, "rights"),
        ({"rights": ["members.view"], "kinds": ["noop"]}, "rights"),
        ({"kinds": [str(number) for number in range(51)]}, "kinds"),
    ],
)
def test_invalid_role_is_refused(acme: Tenant, values: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldInvalidError) as refused:
        make_role(acme, **values)
    assert refused.value.errors[0]["field"] == field


def test_name_of_a_role_stays(acme: Tenant) -> None:
    role = make_role(acme)
    with tenant_context(acme), pytest.raises(FieldInvalidError):
        TENANT_ROLES.save(role, {"name": "another"})


def test_rights_that_the_giver_does_not_have_are_refused(acme: Tenant) -> None:
    make_role(acme, "people", rights=["members.view", "members.manage", "api_keys.view", "api_keys.manage"])
    user, other = make_user("paula"), make_user("otto")
    add_member(tenant=acme, user=user, role="people")
    member = add_member(tenant=acme, user=other, role="people")
    owner, _ = [add_member(tenant=acme, user=make_user(name), role=Role.OWNER) for name in ("olga", "omar")]
    client = client_of(user)
    asked = (
        ("post", "roles/", {"name": "mighty", "rights": ["jobs.reveal"]}),
        ("post", "members/", {"user": "guest", "role": "owner"}),
        ("patch", f"members/{member.pk}/", {"role": "viewer"}),
        ("patch", f"members/{owner.pk}/", {"role": "people"}),
        ("delete", f"members/{owner.pk}/", {}),
        ("post", "api-keys/", {"name": "mine", "scopes": ["jobs.view"]}),
    )
    for method, path, body in asked:
        answer = getattr(client, method)(PREFIX + path, body, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, RightNotHeldError.code), path
    assert client.post(f"{PREFIX}members/", {"user": "guest", "role": "people"}, format="json").status_code == 201


def test_key_has_its_scopes_within_its_role(acme: Tenant) -> None:
    role = make_role(acme, rights=["jobs.view"])
    issued = issue_api_key(tenant=acme, name="ci", scopes=["jobs.view", "jobs.submit"], role="reviewer")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    assert client.get(f"{PREFIX}jobs/").status_code == 200
    assert client.post(f"{PREFIX}jobs/", {"kind": "noop"}, format="json").status_code == 403
    with all_tenants():
        TenantRole.objects.filter(pk=role.pk).delete()
    assert client.get(f"{PREFIX}jobs/").status_code == 403


def test_invitation_gives_the_role_unless_the_inviter_has_lost_its_rights(acme: Tenant) -> None:
    make_role(acme)
    owner, guest = make_user("olga"), make_user("gast")
    membership = add_member(tenant=acme, user=owner, role="owner")
    add_member(tenant=acme, user=make_user("second"), role="owner")
    rights = frozenset(Permission)
    with acting_as(Actor(kind="user", id=str(owner.pk), label="olga", rights=rights)):
        tokens: list[str] = []
        for _ in range(2):
            invite(tenant=acme, invitee="gast", role="reviewer", link_of=lambda token: tokens.append(token) or token)
    make_role(acme, "people", rights=["members.manage"])
    change_role(membership=membership, role="people")
    with pytest.raises(InvitationInvalidError):
        accept_invitation(token=tokens[1], user=guest)
    invite(tenant=acme, invitee="gast", role="reviewer", link_of=lambda token: tokens.append(token) or token)
    assert accept_invitation(token=tokens[2], user=guest).role == "reviewer"


def test_role_in_use_is_not_deleted(acme: Tenant) -> None:
    role, user = make_role(acme), make_user("rita")
    membership = add_member(tenant=acme, user=user, role="reviewer")
    with all_tenants():
        rule = ClaimRule.objects.create(claim="groups", value="x", role="reviewer", tenant=acme)
    with (
        tenant_context(acme),
        pytest.raises(RoleInUseError, match=r"^1 members, 0 pending invitations, 0 API keys and 1"),
    ):
        TENANT_ROLES.delete(role)
    with all_tenants():
        rule.delete()
    remove_member(membership=membership)
    with tenant_context(acme):
        TENANT_ROLES.delete(role)
        assert not TenantRole.objects.exists()


def test_claims_give_the_role(acme: Tenant) -> None:
    rules = [
        ClaimRule(claim="groups", value="a", role="reviewer", tenant=acme),
        ClaimRule(claim="groups", value="b", role="viewer", tenant=acme),
        ClaimRule(claim="groups", value="c", role="developer", tenant=acme),
    ]
    assert roles_of({"groups": ["a", "b"]}, rules) == {acme.pk: "reviewer"}
    assert roles_of({"groups": ["a", "b", "c"]}, rules) == {acme.pk: "developer"}


@pytest.mark.django_db(transaction=True)
def test_review_shows_what_the_role_gives(acme: Tenant) -> None:
    make_role(acme, kinds=["noop"])
    add_member(tenant=acme, user=make_user("rita"), role="reviewer")
    (row,) = review_access(acme)
    shown = {name: row[f"role_{name}"] for name in ("rights", "queues", "kinds", "datasets")}
    assert shown == {"rights": ["jobs.view", "logs.view"], "queues": [], "kinds": ["noop"], "datasets": []}


def test_changes_of_roles_are_audited(acme: Tenant) -> None:
    role = make_role(acme)
    with tenant_context(acme):
        TENANT_ROLES.save(role, {"kinds": ["noop"]})
        TENANT_ROLES.delete(role)
    with all_tenants():
        entries = AuditLogEntry.objects.filter(target_type="tenants.tenantrole").order_by("id")
        assert [entry.action for entry in entries] == ["role.created", "role.changed", "role.deleted"]
        assert not Membership.objects.filter(role="reviewer").exists()


@pytest.mark.parametrize(
    ("rights", "listed", "is_refused"),
    [
        (["jobs.view"], ["owner"], False),
        (["jobs.view", "members.manage"], ["owner"], True),
        (["jobs.view"], ["owner", "developer", "viewer"], True),
        (["jobs.view"], ["reviewer"], True),
        (["members.manage"], ["admin"], False),
    ],
)
def test_second_factor_is_required_by_the_rights(
    acme: Tenant, rights: list[str], listed: list[str], is_refused: bool
) -> None:
    make_role(acme, rights=[*rights, "tenant.view"])
    user = make_user("rita")
    add_member(tenant=acme, user=user, role="reviewer")
    with override_platform_settings(SECOND_FACTOR_ROLES=listed):
        answer = client_of(user).get(f"{PREFIX}tenants/me/")
    assert (answer.status_code == 403) is is_refused
