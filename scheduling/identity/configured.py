"""Configuration of claim rules, and of the roles that tenants make."""

from __future__ import annotations

from scheduling.configuration.service import Configured
from tenants.access.roles import check_custom_role, check_role_unused
from tenants.identity.service import check_claim_rule
from tenants.models import ClaimRule, TenantRole

CLAIM_RULES = Configured(ClaimRule, ("claim", "value", "tenant", "role", "is_confirmed"), check_claim_rule, most=1_000)
TENANT_ROLES = Configured(
    TenantRole,
    ("name", "rights", "queues", "kinds", "datasets"),
    check_custom_role,
    check_delete=check_role_unused,
    most=50,
)
