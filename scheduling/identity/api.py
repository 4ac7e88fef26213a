"""API of claim rules."""

from __future__ import annotations

from scheduling.configuration.api import ConfiguredViewSet
from scheduling.identity.configured import CLAIM_RULES
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet


class ClaimRuleViewSet(ConfiguredViewSet):
    """Which claims of the OpenID Connect provider give which roles at the next sign-in."""

    path, configured = "claim-rules", CLAIM_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PEOPLE_VIEW, Permission.PEOPLE_MANAGE
