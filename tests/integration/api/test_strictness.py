"""Strict input of the members' and settings' resources: unknown names and wrong types are refused."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
SETTINGS = "/api/v1/tenants/me/settings/"


@pytest.fixture
def owner(acme_user) -> APIClient:
    client = APIClient()
    client.force_login(acme_user)
    return client


@pytest.mark.parametrize("address", ["members/", "api-keys/"])
def test_list_without_filters_refuses_a_filter(address, owner):
    assert owner.get(f"/api/v1/{address}?limit=10").status_code == 200
    refused = owner.get(f"/api/v1/{address}?role=owner")
    assert (refused.status_code, refused.json()["code"]) == (400, "filter_unknown")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("tenants/me/pause/", {"reason": "x", "for": 7}),
        ("tenants/me/pause/", {"reason": 7}),
        ("tenants/me/resume/", {"because": "x"}),
        ("upkeep-runs/", {"task": "verify_audit", "chain": "x"}),
    ],
)
def test_unknown_field_is_refused(address, body, owner):
    assert owner.post(f"/api/v1/{address}", body, format="json").status_code == 422


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [
        ('"' + "9" * 5_000 + '"', 400, "if_match_invalid"),
        ("x", 400, "if_match_invalid"),
        ('"-1"', 412, "settings_stale"),
    ],
)
def test_invalid_version_is_refused(version, status, code, owner):
    answer = owner.patch(SETTINGS, {"values": {}}, format="json", HTTP_IF_MATCH=version)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_integer_setting_refuses_fractions_and_floats(owner):
    for value in (1.0, 1.5, True, "1"):
        changed = owner.patch(SETTINGS, {"values": {"jobs.default_priority": value}}, format="json")
        assert changed.status_code == 422, value
    assert owner.patch(SETTINGS, {"values": {"jobs.default_priority": 1}}, format="json").status_code == 200
