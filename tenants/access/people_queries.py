"""A user's platform role and memberships, read for each request, so that a change applies at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import OuterRef, Q, Subquery

from tenants.access.permissions import PlatformRole
from tenants.context import all_tenants
from tenants.exceptions import UserNotFoundError
from tenants.models import Membership, PlatformMembership, TenantSettings


@dataclass(frozen=True, slots=True)
class UserRoles:
    """The platform role of one user or, if there is none, the memberships with tenant, plan and settings."""

    platform_role: PlatformRole | None = None
    memberships: list[Membership] = field(default_factory=list)


def find_user_roles(user: Any) -> UserRoles:
    """Return the current platform role or, without one, the memberships of `user`. A superuser is a platform admin."""
    if user.is_superuser:
        return UserRoles(PlatformRole.ADMIN)
    with all_tenants():
        role = PlatformMembership.objects.filter(user_id=user.pk).values_list("role", flat=True).first()
        if role is not None:
            return UserRoles(PlatformRole(role))
        stored = TenantSettings.objects.filter(tenant_id=OuterRef("tenant_id")).values("stored")
        memberships = Membership.objects.select_related("tenant__plan").annotate(stored_settings=Subquery(stored))
        memberships = memberships.filter(user_id=user.pk)
        return UserRoles(memberships=list(memberships.order_by("tenant__slug")))


def find_user(name: str) -> Any:
    """Return the account with that user name or e-mail address.

    Raise `UserNotFoundError` if there is none, or if several accounts have the e-mail address.
    """
    accounts = get_user_model()._default_manager
    found = list(accounts.filter(Q(username=name) | Q(email__iexact=name)).order_by("pk")[:3]) if name else []
    exact = [user for user in found if user.get_username() == name]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if found:
        raise UserNotFoundError("Several users have the e-mail address %(name)r; give the user name.", {"name": name})
    raise UserNotFoundError("There is no user %(name)r.", {"name": name})
