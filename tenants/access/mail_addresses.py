"""Mail addresses of people by their roles, of active accounts only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from tenants.models import Membership, PlatformMembership


def addresses_of_roles(
    tenant_id: UUID | None, roles: Collection[str] | None, *, most: int, user_id: Any = None
) -> list[str]:
    """Return the addresses of a user, if one is given, and of the first holders of roles, or of any role if None.

    These are roles of a tenant or, without one, of the platform. It needs a scope in which they are visible.
    """
    owning: QuerySet[Any] = PlatformMembership.objects.all()
    if tenant_id is not None:
        owning = Membership.objects.filter(tenant_id=tenant_id)
    if roles is not None:
        owning = owning.filter(role__in=roles)
    holders = list(owning.order_by("pk").values_list("user_id", flat=True)[:most])
    people = get_user_model()._default_manager.filter(Q(pk=user_id) | Q(pk__in=holders), is_active=True)
    return list(dict.fromkeys(people.exclude(email="").order_by("pk").values_list("email", flat=True)))
