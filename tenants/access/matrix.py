"""The console page that shows which role has which permission, built from the definitions that are enforced."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.models import PLATFORM_ROLE_CHOICES
from tenants.access.permission_texts import text_of
from tenants.access.permissions import KEY_PERMISSIONS, PLATFORM_ROLES, TENANT_ROLES, Permission
from tenants.console.site import console_site
from tenants.models import Role

COLUMNS = (
    *Role.labels,
    gettext_lazy("API key (maximum)"),
    *(label for _role, label in PLATFORM_ROLE_CHOICES),
)


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One permission, and for each of `COLUMNS` whether that role has it."""

    permission: Permission
    text: str
    held: tuple[bool, ...]


def read_matrix() -> list[MatrixRow]:
    """Return one row for each permission, in the order in which `Permission` declares them."""
    tenant_roles = [TENANT_ROLES[role] for role in Role.values]
    sets = [*tenant_roles, KEY_PERMISSIONS, *PLATFORM_ROLES.values()]
    return [
        MatrixRow(permission, gettext(text_of(permission)), tuple(permission in rights for rights in sets))
        for permission in Permission
    ]


@require_safe
def roles_view(request: HttpRequest) -> HttpResponse:
    """Render the table of roles and permissions."""
    context = {
        **console_site.each_context(request),
        "columns": COLUMNS,
        "rows": read_matrix(),
    }
    return TemplateResponse(request, "tenants/admin/roles.html", context)
