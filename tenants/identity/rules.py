"""Pure rules of claims: which values an account's claims have, and which role they give."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol

# Each provider sends these alike for all of its accounts.
OF_EVERYBODY = frozenset({"iss", "aud", "azp", "typ", "token_type", "scope"})
# Of a tenant and of the platform, the weakest first.
STRENGTH = ("viewer", "developer", "owner", "auditor", "operator", "admin")


class Rule(Protocol):
    """What a rule says: accounts with this value of a claim have a role, in a tenant or, without one, everywhere."""

    claim: str
    value: str
    role: str

    @property
    def tenant_id(self) -> Hashable | None:
        """Return the tenant's id; None: the role is of the platform."""


def claims_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of an account from the provider's answers: those of the user information take precedence."""
    parts = (data.get("id_token"), data.get("userinfo"))
    return {name: value for part in parts if isinstance(part, Mapping) for name, value in part.items()}


def values_of(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the texts that a claim has: its own, or those of its list.

    A name such as ``realm_access.roles`` is a claim of that name, else a claim within another one.
    """
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    return frozenset(value for value in values if isinstance(value, str))


def roles_of(claims: Mapping[str, Any], rules: Iterable[Rule]) -> dict[Hashable | None, str]:
    """Return the strongest role that the rules give for each tenant; the key None has the role of the platform."""
    given: dict[Hashable | None, str] = {}
    for rule in rules:
        if rule.value in values_of(claims, rule.claim):
            roles = (rule.role, given.get(rule.tenant_id, rule.role))
            given[rule.tenant_id] = max(roles, key=_strength)
    return given


def _strength(role: str) -> tuple[float, str]:
    """Return the sort key of a role: a tenant's own ones are between viewer and developer, by their names."""
    return (float(STRENGTH.index(role)) if role in STRENGTH else 0.5), role
