"""The console's pages of tenants, and the bases of everybody's pages."""

from tenants.admin import (
    access,
    audit_log,
    erasures,
    invitations,
    limits,
    plans,
    platform_roles,
    secrets,
    settings,
    tenants,
    users,
)

__all__ = [
    "access",
    "audit_log",
    "erasures",
    "invitations",
    "limits",
    "plans",
    "platform_roles",
    "secrets",
    "settings",
    "tenants",
    "users",
]
