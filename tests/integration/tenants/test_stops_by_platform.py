"""Whose the stops are that stand when the release comes that tells the platform's from the tenant's own."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection

from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants
from tenants.models import Role, Tenant

pytestmark = pytest.mark.django_db
MIGRATION = import_module("tenants.migrations.0012_stops_by_platform")


@pytest.mark.parametrize(
    ("paused_by", "is_platforms"),
    [
        ("user:alice", False),
        ("api_key:ci (jp0123456789)", False),
        ("user:stella", True),  # of the platform, though a member, too
        ("user:greta", True),  # nobody of this tenant's
        ("command:root@host", True),
        ("", True),
    ],
)
def test_a_stop_is_the_tenants_own_if_its_people_or_keys_made_it(
    acme: Tenant, acme_user: User, globex_user: User, staff: User, paused_by: str, is_platforms: bool
) -> None:
    add_member(tenant=acme, user=staff, role=Role.VIEWER)
    grant_platform_role(user=User.objects.create_user("root"), role="admin")
    grant_platform_role(user=staff, role="operator")
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(is_paused=True, paused_by=paused_by)
    MIGRATION.name_who_stopped(apps, SimpleNamespace(connection=connection))
    with all_tenants():
        acme.refresh_from_db()
    assert (acme.is_paused_by_platform, acme.is_draining_by_platform) == (is_platforms, False)
