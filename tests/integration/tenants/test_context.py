"""Contexts: what is visible inside them, and that nothing of them is left behind."""

from __future__ import annotations

import pytest
from django.db import connection

from tenants.context import all_tenants, current_tenant_id, tenant_context
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def settings_of_transaction() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('app.tenant_id', true)")
        return cursor.fetchone()


def test_only_the_tenant_itself_is_visible_in_its_context(acme, globex):
    with tenant_context(acme):
        assert list(Tenant.objects.all()) == [acme]
