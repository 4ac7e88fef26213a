"""What the decision ``revoke`` does, and who else could decide: the services of access do the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q

from tenants.access.api_keys import revoke_api_key
from tenants.access.memberships import remove_member
from tenants.access.people import deactivate_user, revoke_platform_role
from tenants.access.permissions import Permission, PlatformRole
from tenants.access.roles import check_role_unused
from tenants.audit.service import record_audit
from tenants.database.reads import first_or_raise
from tenants.models import AccessReviewLine, ApiKey, Membership, Role, TenantRole
from tenants.reviews.exceptions import AccessLineChangedError
from tenants.reviews.models import AccessKind

_RIGHTS: Final = {
    AccessKind.KEY: Permission.API_KEYS_MANAGE,
    AccessKind.PLATFORM_KEY: Permission.PEOPLE_MANAGE,
}


def right_to_revoke(kind: str) -> Permission | None:
    """Return the right that revoking such a line needs beside the right to decide; None for no other."""
    return _RIGHTS.get(AccessKind(kind))


def revoke_access(line: AccessReviewLine, note: str) -> None:
    """End the access of a line; raise the errors of the service that does it, such as `LastOwnerError`."""
    _REVOKERS[AccessKind(line.kind)](line, note)


def has_other_reviewer(tenant_id: UUID | None, person: str) -> bool:
    """Return whether an active person other than this one manages the tenant's members, or the platform's people."""
    if tenant_id is None:
        admins = Q(is_superuser=True) | Q(platform_membership__role=PlatformRole.ADMIN)
        others = get_user_model()._default_manager.filter(admins, is_active=True).exclude(pk=person)
        return bool(others.exists())
    # A narrowed role cannot have this right.
    own = TenantRole.objects.filter(tenant=tenant_id, rights__contains=[Permission.MEMBERS_MANAGE])
    roles = [Role.OWNER, *own.values_list("name", flat=True)]
    members = Membership.objects.filter(tenant=tenant_id, role__in=roles, user__is_active=True)
    return members.exclude(user_id=person).exists()


def _remove_member(line: AccessReviewLine, note: str) -> None:
    remove_member(membership=_find(Membership.objects.select_related("user"), line))


def _revoke_key(line: AccessReviewLine, note: str) -> None:
    revoke_api_key(api_key=_find(ApiKey.objects.all(), line), reason=note)


def _delete_role(line: AccessReviewLine, note: str) -> None:
    role = _find(TenantRole.objects.all(), line)
    check_role_unused(role)
    record_audit(action="role.deleted", target=role, before={"name": str(role)}, reason=note)
    role.delete()


def _deactivate(line: AccessReviewLine, note: str) -> None:
    deactivate_user(user=_find(get_user_model()._default_manager.all(), line), reason=note)


def _revoke_platform_role(line: AccessReviewLine, note: str) -> None:
    revoke_platform_role(user=_find(get_user_model()._default_manager.all(), line), reason=note)


def _find(rows: Any, line: AccessReviewLine) -> Any:
    return first_or_raise(rows.filter(pk=line.object_id), AccessLineChangedError(values={"subjects": line.subject}))


# In this order: a role can be deleted when no member and no key has it.
_REVOKERS: Final[Mapping[AccessKind, Callable[[AccessReviewLine, str], None]]] = {
    AccessKind.MEMBER: _remove_member,
    AccessKind.KEY: _revoke_key,
    AccessKind.ROLE: _delete_role,
    AccessKind.PLATFORM_ROLE: _revoke_platform_role,
    AccessKind.PLATFORM_KEY: _revoke_key,
    AccessKind.ACCOUNT: _deactivate,
}
ORDER: Final = {kind: place for place, kind in enumerate(_REVOKERS)}
