"""The label at the top of every console page that names the tenant shown."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext

from tenants.access.caller import access_of


def tenant_label(request: HttpRequest) -> list[str] | None:
    """Return the text and the colour of the label, or None for callers without access."""
    access = access_of(request)
    if access.sees_all_tenants:
        return [gettext("All tenants"), "warning"]
    return None if access.tenant is None else [f"{access.tenant.name} ({access.tenant.slug})", "info"]
