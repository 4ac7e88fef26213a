"""All models of the tenants app, imported from the packages of their topics."""

from tenants.access.models import ApiKey, Invitation, Membership, PlatformKey, PlatformMembership, Role, TenantRole
from tenants.approvals.models import ApprovalRequest, ApprovalRule, ApprovalStatus
from tenants.audit.models import AuditCounter, AuditHead, AuditLogEntry, AuditPending, AuditRemoval, AuditSeal
from tenants.encryption.models import TenantDataKey
from tenants.erasure.models import ErasureStatus, TenantErasure
from tenants.holds.models import LegalHold
from tenants.identity.models import ClaimRule
from tenants.limits.models import LimitWarning, TenantLimit, TenantUsage
from tenants.plans.models import Plan, PlanLimit, PlanVersion, Tier
from tenants.reviews.models import AccessReview, AccessReviewLine
from tenants.secrets.models import TenantSecret
from tenants.settings.models import TenantSettings
from tenants.tenancy.bases import NamedModel, TenantModel
from tenants.tenancy.models import Tenant, TenantStatus
from tenants.versions.models import VersionedModel, VersionFacts

__all__ = [
    "AccessReview",
    "AccessReviewLine",
    "ApiKey",
    "ApprovalRequest",
    "ApprovalRule",
    "ApprovalStatus",
    "AuditCounter",
    "AuditHead",
    "AuditLogEntry",
    "AuditPending",
    "AuditRemoval",
    "AuditSeal",
    "ClaimRule",
    "ErasureStatus",
    "Invitation",
    "LegalHold",
    "LimitWarning",
    "Membership",
    "NamedModel",
    "Plan",
    "PlanLimit",
    "PlanVersion",
    "PlatformKey",
    "PlatformMembership",
    "Role",
    "Tenant",
    "TenantDataKey",
    "TenantErasure",
    "TenantLimit",
    "TenantModel",
    "TenantRole",
    "TenantSecret",
    "TenantSettings",
    "TenantStatus",
    "TenantUsage",
    "Tier",
    "VersionFacts",
    "VersionedModel",
]
