"""World of an attack: two tenants, users in every role, keys, and clients of the attacker."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponseBase
from rest_framework.test import APIClient

from tenants.access.memberships import add_member
from tenants.models import Role, Tenant
from tenants.tenancy.service import create_tenant
from tests.keys import issue_api_key

PASSWORD = "the password of the world"


class World:
    """The attacker's tenant `aaa`, the victim's tenant `zeta`, and clients for the attacks."""

    def __init__(self) -> None:
        self.aaa: Tenant = create_tenant(slug="aaa", name="Attacker", plan="team")
        self.zeta: Tenant = create_tenant(slug="zeta", name="Victim", plan="team")

    def anonymous(self) -> APIClient:
        """Return a client without credentials."""
        return APIClient()

    def with_token(self, token: str) -> APIClient:
        """Return a client that sends the API key's token."""
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
        return client

    def with_key(self, tenant: Tenant, scopes: list[str] | None = None) -> APIClient:
        """Return a client with a new key of the tenant; without scopes, with those of a developer."""
        return self.with_token(issue_api_key(tenant=tenant, name="attack", scopes=scopes).token)

    def member(self, tenant: Tenant, role: Role, username: str) -> User:
        """Return a new user with the role in the tenant."""
        user = User.objects.create_user(username, email=f"{username}@example.com", password=PASSWORD)
        add_member(tenant=tenant, user=user, role=role)
        return user

    def with_session(self, user: User, tenant: Tenant | None = None) -> APIClient:
        """Return a client with the user's session, which names the tenant if one is given."""
        client = APIClient()
        client.force_login(user)
        if tenant is not None:
            client.credentials(HTTP_X_TENANT=tenant.slug)
        return client


def refusal_of(response: HttpResponseBase) -> str:
    """Return a response in the notation of the table: the status and, for a problem document, its code."""
    content: Any = None
    if "json" in response.headers.get("Content-Type", ""):
        content = response.json()  # type: ignore[attr-defined]
    code = content.get("code") if isinstance(content, dict) else None
    return f"{response.status_code} {code}" if code else str(response.status_code)
