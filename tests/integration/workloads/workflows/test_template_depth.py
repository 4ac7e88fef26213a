"""Deeply nested templates in definitions: they are refused, and break nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from tenants.models import Tenant
from tests.unit.workloads.workflows.definitions import node, workflow

pytestmark = pytest.mark.django_db

DEEP = ("{{ inputs.x" + "|lower" * 2_000 + " }}", "{{ " + "1+" * 3_000 + "1 }}")


@pytest.mark.parametrize("source", DEEP)
def test_deep_template_is_a_fault_that_names_its_location(
    acme: Tenant, api_client: Callable[[Tenant], APIClient], source: str
) -> None:
    client, definition = api_client(acme), workflow(node("deep", template=source))
    created = client.post("/api/v1/workflows/", {"name": "deep", "definition": definition})
    assert (created.status_code, created.json()["code"]) == (422, "definition_invalid")
    checked = client.post("/api/v1/workflows/check/", {"definition": definition})
    assert (checked.status_code, checked.json()["is_valid"]) == (200, False)
    (fault,) = checked.json()["faults"]
    assert (fault["code"], fault["pointer"]) == ("template_invalid", "/nodes/1/config/template")
    assert "nested" in str(fault)
