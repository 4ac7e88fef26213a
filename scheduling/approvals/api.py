"""API of the rules of approvals."""

from __future__ import annotations

from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.configuration.api import ConfiguredViewSet
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet


class ApprovalRuleViewSet(ConfiguredViewSet):
    """Which acts need a second person."""

    path, configured = "approval-rules", APPROVAL_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PEOPLE_VIEW, Permission.PEOPLE_MANAGE
