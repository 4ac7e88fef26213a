"""Configuration of claim rules."""

from __future__ import annotations

from scheduling.configuration.service import Configured
from tenants.identity.service import check_claim_rule
from tenants.models import ClaimRule

CLAIM_RULES = Configured(ClaimRule, ("claim", "value", "tenant", "role", "is_confirmed"), check_claim_rule, most=1_000)
