"""Who: tiers, plans, tenants, members, keys and the record of what they did."""

from tenants.models.api_key import ApiKey
from tenants.models.audit_chain import AuditCounter, AuditHead, AuditPending, AuditRemoval, AuditSeal
from tenants.models.audit_log import AuditLogEntry
from tenants.models.base import TenantModel
from tenants.models.data_key import TenantDataKey
from tenants.models.erasure import ErasureStatus, TenantErasure
from tenants.models.invitation import Invitation
from tenants.models.limits import LimitWarning, TenantLimit, TenantUsage
from tenants.models.membership import Membership, Role
from tenants.models.names import NamedModel
from tenants.models.plan import Plan, PlanLimit, PlanVersion
from tenants.models.platform_membership import PlatformMembership
from tenants.models.secret import TenantSecret
from tenants.models.settings import TenantSettings
from tenants.models.tenant import Tenant, TenantStatus
from tenants.models.tier import Tier
from tenants.versions.models import VersionedModel, VersionFacts

__all__ = [
    "ApiKey",
    "AuditCounter",
    "AuditHead",
    "AuditLogEntry",
    "AuditPending",
    "AuditRemoval",
    "AuditSeal",
    "ErasureStatus",
    "Invitation",
    "LimitWarning",
    "Membership",
    "NamedModel",
    "Plan",
    "PlanLimit",
    "PlanVersion",
    "PlatformMembership",
    "Role",
    "Tenant",
    "TenantDataKey",
    "TenantErasure",
    "TenantLimit",
    "TenantModel",
    "TenantSecret",
    "TenantSettings",
    "TenantStatus",
    "TenantUsage",
    "Tier",
    "VersionFacts",
    "VersionedModel",
]
