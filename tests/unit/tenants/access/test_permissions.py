"""Who may do what, as sets: what the roles promise must hold whatever is added to them."""

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
    Permission.UPKEEP_RUN,
    Permission.PEOPLE_VIEW,
    Permission.PEOPLE_MANAGE,
}


def test_there_are_enough_named_rights_and_every_role_has_its_set() -> None:
    assert len(Permission) >= 14
    assert set(TENANT_ROLES) == set(Role.values)
    assert set(PLATFORM_ROLES) == set(PlatformRole)


def test_every_right_is_somebodys() -> None:
    assert PLATFORM_ROLES[PlatformRole.ADMIN] == set(Permission)
    assert set(Permission) - OF_THE_PLATFORM == set(TENANT_ROLES["owner"])


def test_each_tenant_role_has_more_than_the_one_before() -> None:
    assert TENANT_ROLES["viewer"] < TENANT_ROLES["developer"] < TENANT_ROLES["owner"]


def test_no_member_and_no_key_has_a_right_of_the_platform() -> None:
    for rights in (*TENANT_ROLES.values(), KEY_PERMISSIONS):
        assert not rights & OF_THE_PLATFORM


def test_a_viewer_changes_nothing_and_reveals_nothing() -> None:
    assert TENANT_ROLES["viewer"] <= READ_ONLY - {
        Permission.JOBS_RESULTS,
        Permission.JOBS_REVEAL,
        Permission.FILES_DOWNLOAD,
    }


def test_an_auditor_reads_everything_changes_nothing_and_reveals_nothing() -> None:
    revealing = {Permission.JOBS_RESULTS, Permission.JOBS_REVEAL, Permission.FILES_DOWNLOAD}
    assert PLATFORM_ROLES[PlatformRole.AUDITOR] == READ_ONLY - revealing


def test_an_operator_edits_no_plans_no_fairness_no_people_and_erases_and_reveals_nothing() -> None:
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


def test_a_key_decides_about_no_keys_and_no_members_and_has_no_more_than_whoever_issues_it() -> None:
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


def test_scopes_that_are_unknown_or_too_much_grant_nothing() -> None:
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
def test_without_a_place_there_are_no_rights(access: Access) -> None:
    assert access.permissions == NOTHING


def test_a_platform_role_takes_the_place_of_a_membership() -> None:
    access = Access(tenant=ACTIVE, role=Role.OWNER, platform_role=PlatformRole.AUDITOR)
    assert access.permissions == PLATFORM_ROLES[PlatformRole.AUDITOR]


def test_a_keys_rights_are_its_scopes_whatever_role_stands_beside_it() -> None:
    access = Access(tenant=ACTIVE, role=Role.OWNER, api_key=ApiKey(scopes=["jobs.view"]))
    assert access.permissions == {Permission.JOBS_VIEW}


def test_a_suspended_tenants_people_and_keys_only_look_and_the_platform_goes_on() -> None:
    for access in (
        Access(tenant=SUSPENDED, role=Role.OWNER),
        Access(tenant=SUSPENDED, api_key=ApiKey(scopes=list(KEY_PERMISSIONS))),
    ):
        assert access.permissions == access.granted & READ_ONLY
        assert access.granted - access.permissions
    assert Access(tenant=SUSPENDED, platform_role=PlatformRole.ADMIN).may(Permission.JOBS_SUBMIT)


def test_only_people_of_the_platform_who_name_no_tenant_see_all() -> None:
    assert Access(platform_role=PlatformRole.AUDITOR).sees_all_tenants
    assert not Access(platform_role=PlatformRole.AUDITOR, tenant=ACTIVE).sees_all_tenants
    assert not Access(tenant=ACTIVE, role=Role.OWNER).sees_all_tenants
    assert not NO_ACCESS.sees_all_tenants
