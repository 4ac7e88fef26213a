"""API of claim rules and of tenants' roles."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from scheduling.configuration.api import ConfiguredViewSet
from scheduling.identity.configured import CLAIM_RULES, TENANT_ROLES
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet
from tenants.context import all_tenants


class ClaimRuleViewSet(ConfiguredViewSet):
    """Which claims of the OpenID Connect provider give which roles at the next sign-in."""

    path, configured = "claim-rules", CLAIM_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PEOPLE_VIEW, Permission.PEOPLE_MANAGE

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Handle the request in the scope of all tenants, whatever tenant it names: rules belong to none."""
        with all_tenants() if access_of(request).may(Permission.PEOPLE_VIEW) else nullcontext():
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response


class TenantRoleViewSet(ConfiguredViewSet):
    """Roles that the tenant makes of the named rights, narrowed to queues, kinds or datasets if these are given."""

    path, configured = "roles", TENANT_ROLES
    views, changes = Permission.MEMBERS_VIEW, Permission.MEMBERS_MANAGE
