"""API of the rules of approvals."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.configuration.api import ConfiguredViewSet
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet
from tenants.context import all_tenants


class ApprovalRuleViewSet(ConfiguredViewSet):
    """Which acts need a second person."""

    path, configured = "approval-rules", APPROVAL_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PEOPLE_VIEW, Permission.PEOPLE_MANAGE

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Handle the request in the scope of all tenants, whatever tenant it names: rules belong to none."""
        with all_tenants() if access_of(request).may(Permission.PEOPLE_VIEW) else nullcontext():
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response
