"""Access services: keys and members, each changed together with its audit entry."""

from __future__ import annotations

import pytest

from tenants.access.api_keys import revoke_api_key
from tenants.access.caller import authenticate_api_key
from tenants.access.memberships import add_member, change_role, remove_member
from tenants.access.people_queries import find_user_roles
from tenants.context import tenant_context
from tenants.exceptions import (
    AlreadyMemberError,
    FieldInvalidError,
    LastOwnerError,
)
from tenants.models import Membership, Role
from tests.integration.tenants.sql import entries, reloaded
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


def test_key_is_stored_only_as_a_hash(acme):
    issued = issue_api_key(tenant=acme, name="ci")
    secret = issued.token.partition(".")[2]
    stored = reloaded(issued.key)
    assert len(stored.secret_hash) == 64
    assert secret not in repr(stored.__dict__)
    [entry] = entries("api_key.issued")
    assert secret not in repr(entry.__dict__)
    assert stored.secret_hash not in repr(entry.__dict__)


def test_key_authenticates_its_tenant(acme, globex):
    issued = issue_api_key(tenant=acme, name="ci")
    issue_api_key(tenant=globex, name="ci")
    found = authenticate_api_key(token=issued.token)
    assert (found, found.tenant) == (issued.key, acme)


def test_key_is_revoked_once(acme):
    issued = issue_api_key(tenant=acme, name="ci")
    first = revoke_api_key(api_key=issued.key, reason="leaked").revoked_at
    assert first is not None
    assert revoke_api_key(api_key=issued.key).revoked_at == first
    assert authenticate_api_key(token=issued.token) is None
    assert [entry.reason for entry in entries("api_key.revoked")] == ["leaked"]


def test_member_is_added_promoted_and_removed(acme, acme_user, outsider):
    membership = add_member(tenant=acme, user=outsider)
    assert membership.role == Role.VIEWER
    change_role(membership=membership, role=Role.OWNER)
    assert [found.role for found in find_user_roles(outsider).memberships] == [Role.OWNER]
    remove_member(membership=membership)
    assert find_user_roles(outsider).memberships == []
    actions = [entries(f"membership.{what}")[-1].action for what in ("added", "role_changed", "removed")]
    assert len(actions) == 3


def test_second_membership_of_a_user_is_refused(acme, acme_user):
    with pytest.raises(AlreadyMemberError):
        add_member(tenant=acme, user=acme_user)


def test_unknown_role_is_refused(acme, outsider):
    with pytest.raises(FieldInvalidError, match="owner, developer, viewer"):
        add_member(tenant=acme, user=outsider, role="king")


def test_last_owner_can_be_neither_removed_nor_demoted(acme, acme_user):
    with tenant_context(acme):
        membership = Membership.objects.get()
    with pytest.raises(LastOwnerError):
        remove_member(membership=membership)
    with pytest.raises(LastOwnerError):
        change_role(membership=membership, role="viewer")
    assert reloaded(membership).role == Role.OWNER


def test_memberships_are_found_without_a_tenant_context(acme, globex, acme_user):
    add_member(tenant=globex, user=acme_user)
    assert [found.tenant.slug for found in find_user_roles(acme_user).memberships] == ["acme", "globex"]
