"""Which values claims have, and which roles they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tenants.identity.rules import claims_of, roles_of, values_of


@dataclass(frozen=True)
class GivenRule:
    claim: str
    value: str
    role: str
    tenant_id: str | None = None


@pytest.mark.parametrize(
    ("claims", "name", "values"),
    [
        ({"groups": ["a", "b"]}, "groups", {"a", "b"}),
        ({"department": "ops"}, "department", {"ops"}),
        ({"realm_access": {"roles": ["admin"]}}, "realm_access.roles", {"admin"}),
        ({"https://example.org/roles": ["admin"]}, "https://example.org/roles", {"admin"}),
        ({"groups": [1, None, {"a": "b"}]}, "groups", set()),
        ({"email_verified": True}, "email_verified", set()),
        ({"groups": "a"}, "groups.roles", set()),
        ({}, "groups", set()),
    ],
)
def test_values_of_a_claim(claims: dict[str, Any], name: str, values: set[str]) -> None:
    assert values_of(claims, name) == values


def test_user_information_takes_precedence_over_the_token() -> None:
    data = {"id_token": {"sub": "1", "groups": ["old"]}, "userinfo": {"groups": ["new"]}}
    assert claims_of(data) == {"sub": "1", "groups": ["new"]}
    assert claims_of({}) == {}


def test_strongest_role_of_each_tenant_is_given() -> None:
    rules = [
        GivenRule("groups", "a", "owner", "acme"),
        GivenRule("groups", "a", "viewer", "acme"),
        GivenRule("groups", "b", "viewer", "globex"),
        GivenRule("groups", "a", "auditor"),
        GivenRule("groups", "c", "admin"),
    ]
    assert roles_of({"groups": ["a"]}, rules) == {"acme": "owner", None: "auditor"}
    assert roles_of({"groups": ["d"]}, rules) == {}
