"""Rights of roles and keys as sets: invariants that hold whatever is added."""

from __future__ import annotations

import pytest

from tenants.access.caller import NO_ACCESS, Access
from tenants.access.permissions import (
    DEVELOPER_KEY_SCOPES,
    KEY_PERMISSIONS,
    NOTHING,
    PLATFORM_ROLES,
    READ_ONLY,
    TENANT_ROLES,
    Permission,
    PlatformRole,
    read_scopes,
)
from tenants.exceptions import TenantNotFoundError
from tenants.models import ApiKey, Role, Tenant, TenantStatus

ACTIVE = Tenant(slug="acme", status=TenantStatus.ACTIVE)
SUSPENDED = Tenant(slug="acme", status=TenantStatus.SUSPENDED)
OF_THE_PLATFORM = {
    Permission.PLATFORM_VIEW,
    Permission.QUEUES_OPERATE,
    Permission.TENANTS_OPERATE,
    Permission.TENANTS_MANAGE,
    Permission.TENANTS_ERASE,
    Permission.PLANS_MANAGE,
    Permission.FAIRNESS_MANAGE,
    Permission.BACKUPS_MANAGE,
    Permission.UPKEEP_RUN,
    Permission.PEOPLE_VIEW,
    Permission.PEOPLE_MANAGE,
    Permission.CONTROLS_MANAGE,
    Permission.CONTROLS_OVERRIDE,
}


def test_every_role_has_a_set_of_rights() -> None:
    assert len(Permission) >= 14
    assert set(TENANT_ROLES) == set(Role.values)
    assert set(PLATFORM_ROLES) == set(PlatformRole)


def test_every_right_belongs_to_a_role() -> None:
    assert PLATFORM_ROLES[PlatformRole.ADMIN] == set(Permission)
    assert set(Permission) - OF_THE_PLATFORM == set(TENANT_ROLES["owner"])


def test_each_tenant_role_includes_the_previous_role() -> None:
    assert TENANT_ROLES["viewer"] < TENANT_ROLES["developer"] < TENANT_ROLES["owner"]


def test_members_and_keys_have_no_right_of_the_platform() -> None:
    for rights in (*TENANT_ROLES.values(), KEY_PERMISSIONS):
        assert not rights & OF_THE_PLATFORM


def test_viewer_has_reading_rights_without_revealing_ones() -> None:
    revealing = {Permission.JOBS_RESULTS, Permission.JOBS_REVEAL, Permission.FILES_DOWNLOAD}
    # A template names the roles that may run it, besides those that may submit jobs.
    assert TENANT_ROLES["viewer"] <= READ_ONLY - revealing | {Permission.TEMPLATES_RUN}


def test_auditor_has_all_reading_rights_without_revealing_ones() -> None:
    revealing = {Permission.JOBS_RESULTS, Permission.JOBS_REVEAL, Permission.FILES_DOWNLOAD}
    assert PLATFORM_ROLES[PlatformRole.AUDITOR] == READ_ONLY - revealing


def test_operator_has_no_right_to_edit_erase_or_reveal() -> None:
    forbidden = {
        Permission.PLANS_MANAGE,
        Permission.FAIRNESS_MANAGE,
        Permission.TENANTS_MANAGE,
        Permission.TENANTS_ERASE,
        Permission.PEOPLE_MANAGE,
        Permission.MEMBERS_MANAGE,
        Permission.API_KEYS_MANAGE,
        Permission.JOBS_REVEAL,
    }
    rights = PLATFORM_ROLES[PlatformRole.OPERATOR]
    assert not rights & forbidden
    assert {Permission.QUEUES_OPERATE, Permission.TENANTS_OPERATE, Permission.JOBS_RETRY} <= rights


def test_scopes_of_key_are_limited_to_those_of_its_issuer() -> None:
    needs_person = {
        Permission.API_KEYS_MANAGE,
        Permission.MEMBERS_MANAGE,
        Permission.TENANT_MANAGE,
        Permission.JOBS_REVEAL,
        Permission.WORKFLOWS_APPROVE,
    }
    assert not KEY_PERMISSIONS & needs_person
    assert Permission.WEBHOOKS_MANAGE not in DEVELOPER_KEY_SCOPES
    assert DEVELOPER_KEY_SCOPES <= KEY_PERMISSIONS
    for rights in (*TENANT_ROLES.values(), *PLATFORM_ROLES.values()):
        if Permission.API_KEYS_MANAGE in rights:
            assert rights >= KEY_PERMISSIONS


def test_unknown_or_excessive_scopes_grant_nothing() -> None:
    scopes = ["jobs.view", "jobs.fly", "api_keys.manage", "people.manage"]
    assert read_scopes(tuple(scopes)) == {Permission.JOBS_VIEW}
    assert read_scopes(()) == NOTHING


@pytest.mark.parametrize(
    "access",
    [
        NO_ACCESS,
        Access(role=Role.OWNER),
        Access(tenant=ACTIVE),
        Access(platform_role=PlatformRole.ADMIN, refusal=TenantNotFoundError()),
        Access(tenant=ACTIVE, api_key=ApiKey(scopes=[])),
        Access(api_key=ApiKey(scopes=["jobs.view"]), refusal=TenantNotFoundError()),
    ],
)
def test_access_without_role_or_key_has_no_rights(access: Access) -> None:
    assert access.permissions == NOTHING


def test_platform_role_replaces_membership() -> None:
    access = Access(tenant=ACTIVE, role=Role.OWNER, platform_role=PlatformRole.AUDITOR)
    assert access.permissions == PLATFORM_ROLES[PlatformRole.AUDITOR]


def test_rights_of_key_are_its_scopes_regardless_of_roles() -> None:
    access = Access(tenant=ACTIVE, role=Role.OWNER, api_key=ApiKey(scopes=["jobs.view"]))
    assert access.permissions == {Permission.JOBS_VIEW}


def test_suspended_tenant_is_read_only_except_for_the_platform() -> None:
    for access in (
        Access(tenant=SUSPENDED, role=Role.OWNER),
        Access(tenant=SUSPENDED, api_key=ApiKey(scopes=list(KEY_PERMISSIONS))),
    ):
        assert access.permissions == access.granted & READ_ONLY
        assert access.granted - access.permissions
    assert Access(tenant=SUSPENDED, platform_role=PlatformRole.ADMIN).may(Permission.JOBS_SUBMIT)


def test_all_tenants_are_visible_to_platform_roles_without_tenant_only() -> None:
    assert Access(platform_role=PlatformRole.AUDITOR).sees_all_tenants
    assert not Access(platform_role=PlatformRole.AUDITOR, tenant=ACTIVE).sees_all_tenants
    assert not Access(tenant=ACTIVE, role=Role.OWNER).sees_all_tenants
    assert not NO_ACCESS.sees_all_tenants
