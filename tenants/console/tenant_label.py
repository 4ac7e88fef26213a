"""The label at the top of every console page that names the tenant shown."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext

from tenants.access.caller import access_of


def tenant_label(request: HttpRequest) -> list[str] | None:
    """Return the label's text and colour, or None for callers without access to a tenant."""
    access = access_of(request)
    if access.sees_all_tenants:
        return [gettext("All tenants"), "warning"]
    return None if access.tenant is None else [f"{access.tenant.name} ({access.tenant.slug})", "info"]
