"""The label at the head of every console page: which tenant it shows."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext

from tenants.access.caller import access_of


def seen_tenant(request: HttpRequest) -> list[str] | None:
    """Return the text and the colour of the label; None for people without a place."""
    access = access_of(request)
    if access.sees_all_tenants:
        return [gettext("All tenants"), "warning"]
    return None if access.tenant is None else [f"{access.tenant.name} ({access.tenant.slug})", "info"]
