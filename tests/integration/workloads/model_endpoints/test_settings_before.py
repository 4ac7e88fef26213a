"""Migration of the settings that named endpoints before there were model endpoints."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from tenants.context import all_tenants
from tenants.models import Tenant, TenantSettings
from workloads.model_endpoints.models import EndpointModel, ModelEndpoint

SETTING = "workflow_execution.llm"
KEY = "{{ secrets.workflow_execution_llm_key }}"


@pytest.mark.django_db
def test_endpoints_of_settings_are_kept(acme: Tenant, globex: Tenant) -> None:
    fallbacks = [{"name": "platform"}, {"name": "spare", "url": "https://spare.example.com/v1", "model": "s"}]
    stored = {
        f"{SETTING}_url": "https://api.example.com/v1",
        f"{SETTING}_key": KEY,
        f"{SETTING}_model": "large",
        f"{SETTING}_fallbacks": fallbacks,
    }
    with all_tenants():
        TenantSettings.objects.create(tenant=acme, stored=stored)
        TenantSettings.objects.create(tenant=globex, stored={f"{SETTING}_model": "large"})
    editor: Any = SimpleNamespace(connection=connection)
    import_module("workloads.model_endpoints.migrations.0002_endpoints_of_settings").create_endpoints(None, editor)
    with all_tenants():
        endpoints = [(one.tenant_id, one.name, one.url, one.key) for one in ModelEndpoint.objects.order_by("name")]
        models = [(one.endpoint.name, one.name, one.is_default) for one in EndpointModel.objects.order_by("name")]
    assert endpoints == [
        (acme.pk, "own", "https://api.example.com/v1", KEY),
        (acme.pk, "spare", "https://spare.example.com/v1", ""),
    ]
    assert models == [("own", "large", True), ("spare", "s", False)]
