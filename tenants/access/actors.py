"""The actor of a request, whom its audit entries and job events name."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.context import Actor


def actor_of(request: HttpRequest, access: Access, request_id: str) -> Actor:
    """Return the actor of a request, with what it may use and give; platform staff may give any right."""
    named = (Permission.SECRETS_USE, Permission.WEBHOOKS_MANAGE, Permission.LOGS_VIEW)
    secrets, webhooks, logs = map(access.may, named)
    rights = access.granted if access.platform_role is None else None
    may = (secrets, webhooks, logs, rights)
    if access.api_key is not None:
        key = access.api_key
        label = f"{key.name} ({key.prefix})"
        return Actor("api_key", str(key.pk), label, request_id, access.platform_role is None, *may)
    user: Any = request.user
    if user.is_authenticated:
        is_of_tenant, name = access.platform_role is None, user.get_username()
        return Actor("user", str(user.pk), name, request_id, is_of_tenant, *may)
    return Actor(kind="system", label="anonymous request", request_id=request_id, may_use_secrets=False)
