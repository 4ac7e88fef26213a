"""The lines of an access review as they are now: members, keys and roles of a tenant; accounts of the platform.

Each kind is read by one statement, whatever the number of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from tenants.access.permissions import PlatformRole
from tenants.database.clock import read_clock
from tenants.models import AccessReviewLine, ApiKey, Membership, TenantRole
from tenants.reviews.models import AccessKind

Lines = Mapping[tuple[str, str], AccessReviewLine]


def current_lines(tenant_id: UUID | None, among: Collection[AccessReviewLine] | None = None) -> Lines:
    """Return what exists now as unsaved lines, by kind and object; with ``among`` only the objects of those lines.

    It needs the scope of the tenant or, without one, that of all tenants.
    """
    found = {}
    for kind, read in (_OF_PLATFORM if tenant_id is None else _OF_TENANT).items():
        keys = None if among is None else [line.object_id for line in among if line.kind == kind]
        if keys is None or keys:
            for line in read(tenant_id, Q() if keys is None else Q(pk__in=keys)):
                line.kind, line.tenant_id = kind, tenant_id
                found[str(kind), line.object_id] = line
    return found


def _members(tenant_id: UUID | None, wanted: Q) -> Iterator[AccessReviewLine]:
    own = {role.name: role for role in TenantRole.objects.filter(tenant=tenant_id)}
    rows = Membership.objects.filter(wanted, tenant=tenant_id).select_related("user").order_by("user__username")
    for row in rows:
        yield _line(
            row.pk,
            row.user.get_username(),
            row.role,
            {"is_active": row.user.is_active, **_rights_of(own.get(row.role))},
            person=row.user_id,
            given_at=row.created_at,
            last_used_at=row.user.last_login,
        )


def _keys(tenant_id: UUID | None, wanted: Q) -> Iterator[AccessReviewLine]:
    valid = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=read_clock()))
    for row in ApiKey.objects.filter(wanted, valid, tenant=tenant_id).order_by("name", "pk"):
        grants = {
            "scopes": sorted(row.scopes),
            "allowed_addresses": row.allowed_addresses,
            "expires_at": row.expires_at and row.expires_at.isoformat(),
        }
        used = row.last_used_at
        yield _line(row.pk, str(row), row.role, grants, row.created_by_id, row.created_at, used)


def _roles(tenant_id: UUID | None, wanted: Q) -> Iterator[AccessReviewLine]:
    for row in TenantRole.objects.filter(wanted, tenant=tenant_id).order_by("name"):
        yield _line(row.pk, row.name, row.name, _rights_of(row), given_at=row.created_at)


def _accounts(tenant_id: UUID | None, wanted: Q) -> Iterator[AccessReviewLine]:
    for user in _users().filter(wanted, is_active=True).order_by("username"):
        name = user.get_username()
        yield _line(user.pk, name, "", {}, user.pk, user.date_joined, user.last_login)


def _platform_roles(tenant_id: UUID | None, wanted: Q) -> Iterator[AccessReviewLine]:
    staff = Q(is_superuser=True) | Q(platform_membership__isnull=False)
    for user in _users().filter(wanted, staff).select_related("platform_membership").order_by("username"):
        membership: Any = getattr(user, "platform_membership", None)
        role = PlatformRole.ADMIN if user.is_superuser else membership.role
        given = membership.created_at if membership else user.date_joined
        grants = {"is_active": user.is_active}
        yield _line(user.pk, user.get_username(), role, grants, user.pk, given, user.last_login)


def _line(
    key: Any,
    subject: str,
    role: str,
    grants: dict[str, Any],
    person: Any = None,
    given_at: datetime | None = None,
    last_used_at: datetime | None = None,
) -> AccessReviewLine:
    return AccessReviewLine(
        object_id=str(key),
        subject=subject[:200],
        role=str(role),
        grants=grants,
        person="" if person is None else str(person),
        given_at=given_at,
        last_used_at=last_used_at,
    )


def _rights_of(role: TenantRole | None) -> dict[str, Any]:
    """Return the rights of a role of the tenant's own, and what it is narrowed to; nothing for a shipped one."""
    if role is None:
        return {}
    return {name: getattr(role, name) for name in ("rights", "queues", "kinds", "datasets")}


def _users() -> QuerySet[Any]:
    users: QuerySet[Any] = get_user_model()._default_manager.all()
    return users


_Reader = Callable[[UUID | None, Q], Iterator[AccessReviewLine]]
_OF_TENANT: Final[Mapping[AccessKind, _Reader]] = {
    AccessKind.MEMBER: _members,
    AccessKind.KEY: _keys,
    AccessKind.ROLE: _roles,
}
_OF_PLATFORM: Final[Mapping[AccessKind, _Reader]] = {
    AccessKind.ACCOUNT: _accounts,
    AccessKind.PLATFORM_ROLE: _platform_roles,
    AccessKind.PLATFORM_KEY: _keys,
}
