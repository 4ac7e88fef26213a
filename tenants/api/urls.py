"""URLs of the tenants app below `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from tenants.access.api import ApiKeyViewSet, InvitationViewSet, MemberViewSet, PlatformKeyViewSet
from tenants.approvals.api import ApprovalRequestViewSet
from tenants.audit.api import AuditLogViewSet
from tenants.holds.api import LegalHoldViewSet
from tenants.limits.api import UsageViewSet
from tenants.plans.api import PlanViewSet, TierViewSet
from tenants.reviews.api import AccessReviewLineViewSet, AccessReviewViewSet
from tenants.secrets.api import SecretViewSet
from tenants.settings.api import TenantSettingsViewSet
from tenants.tenancy.api import OwnTenantViewSet, PlatformTenantViewSet

router = SimpleRouter()
router.register("members", MemberViewSet, basename="member")
router.register("invitations", InvitationViewSet, basename="invitation")
router.register("api-keys", ApiKeyViewSet, basename="api-key")
router.register("platform-keys", PlatformKeyViewSet, basename="platform-key")
router.register("secrets", SecretViewSet, basename="secret")
router.register("approval-requests", ApprovalRequestViewSet, basename="approval-request")
router.register("access-reviews", AccessReviewViewSet, basename="access-review")
router.register("access-review-lines", AccessReviewLineViewSet, basename="access-review-line")
router.register("audit-log", AuditLogViewSet, basename="audit-log")
router.register("tenants", PlatformTenantViewSet, basename="tenant")
router.register("legal-holds", LegalHoldViewSet, basename="legal-hold")
router.register("plans", PlanViewSet, basename="plan")
router.register("tiers", TierViewSet, basename="tier")
router.register("usage", UsageViewSet, basename="usage")

urlpatterns = [
    path("tenants/me/", OwnTenantViewSet.as_view({"get": "retrieve"}), name="own-tenant"),
    path("tenants/me/pause/", OwnTenantViewSet.as_view({"post": "pause"}), name="own-tenant-pause"),
    path("tenants/me/drain/", OwnTenantViewSet.as_view({"post": "drain"}), name="own-tenant-drain"),
    path("tenants/me/resume/", OwnTenantViewSet.as_view({"post": "resume"}), name="own-tenant-resume"),
    path(
        "tenants/me/settings/",
        TenantSettingsViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="own-settings",
    ),
    path("tenants/me/settings/schema/", TenantSettingsViewSet.as_view({"get": "describe"}), name="own-settings-schema"),
    path("", include(router.urls)),
]
