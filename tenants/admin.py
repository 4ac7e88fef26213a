"""Admin pages of the tenants app, and the base classes of all admin pages."""

from tenants.access import (
    admin as access,
)
from tenants.access import (
    invitations_admin as invitations,
)
from tenants.access import (
    platform_roles_admin as platform_roles,
)
from tenants.access import (
    users_admin as users,
)
from tenants.approvals import admin as approvals
from tenants.audit import admin as audit_log
from tenants.erasure import admin as erasures
from tenants.holds import admin as holds
from tenants.identity import admin as identity
from tenants.limits import admin as limits
from tenants.plans import admin as plans
from tenants.reviews import admin as reviews
from tenants.secrets import admin as secrets
from tenants.settings import admin as settings
from tenants.tenancy import admin as tenants

__all__ = [
    "access",
    "approvals",
    "audit_log",
    "erasures",
    "holds",
    "identity",
    "invitations",
    "limits",
    "plans",
    "platform_roles",
    "reviews",
    "secrets",
    "settings",
    "tenants",
    "users",
]
