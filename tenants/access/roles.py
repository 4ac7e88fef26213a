"""Roles by their names: the shipped ones, and those that tenants make of the named rights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from tenants.access.errors import RightNotHeldError, RoleInUseError, RoleNarrowedError
from tenants.access.models import ApiKey, Invitation, Membership, Role, TenantRole, role_words
from tenants.access.permissions import NARROWABLE, NOTHING, TENANT_ROLES, Permission, PlatformRole
from tenants.context import current_actor, current_scope, tenant_context
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.identity.models import ClaimRule
from tenants.tenancy.bases import clean_slug
from tenants.translation import translate

# An owner has all rights of a tenant.
GRANTABLE: Final = TENANT_ROLES[Role.OWNER.value]
_RESERVED = frozenset({*Role.values, *PlatformRole})


def find_custom_role(tenant_id: UUID | None, name: str) -> TenantRole | None:
    """Return the tenant's own role of that name; None for a shipped role, or if there is none."""
    if tenant_id is None or not name or name in _RESERVED:
        return None
    with tenant_context(tenant_id):
        found: TenantRole | None = TenantRole.objects.filter(name=name).first()
    return found


def rights_of_role(tenant_id: UUID, name: str) -> frozenset[Permission]:
    """Return the rights of a role of a tenant; none for an unknown role."""
    return TENANT_ROLES.get(name) or rights_of_custom(find_custom_role(tenant_id, name))


def rights_of_custom(role: TenantRole | None) -> frozenset[Permission]:
    """Return the rights of a tenant's own role. A narrowed one has only rights whose rows can be narrowed."""
    if role is None:
        return NOTHING
    held = frozenset(right for right in GRANTABLE if right in role.rights)
    return held & NARROWABLE if role.narrowing else held


def require_role(tenant_id: UUID, name: str) -> str:
    """Return the name of a role of the tenant, which is locked against deletion until the transaction ends.

    Raise `FieldInvalidError` if there is no such role.
    """
    if name in TENANT_ROLES:
        return str(name)
    with tenant_context(tenant_id):
        known = [row.name for row in TenantRole.objects.select_for_update(no_key=True).order_by("name")]
    if name not in known:
        values = {"role": str(name), "known": ", ".join([*Role.values, *known])}
        raise FieldInvalidError.at("role", translate("%(role)r is not one of %(known)s.", values))
    return name


def require_held(rights: Iterable[str]) -> None:
    """Raise `RightNotHeldError` if a person or key gives rights that it does not have; commands have all."""
    held = current_actor().rights
    if held is not None and (strays := sorted(set(rights) - held)):
        raise RightNotHeldError("You do not have %(rights)s yourself.", {"rights": ", ".join(strays)})


def require_within(**names: str) -> None:
    """Raise `RoleNarrowedError` if the caller's role is narrowed to other names, as `Narrowing.covers` has them."""
    scope = current_scope()
    if scope is not None and scope.narrowing is not None and not scope.narrowing.covers(**names):
        raise RoleNarrowedError("Your role is narrowed to others than %(names)s.", {"names": ", ".join(names.values())})


def check_custom_role(role: TenantRole) -> None:
    """Complete a role that is about to be stored. Raise `FieldInvalidError`, or `RightNotHeldError`."""
    clean_slug(role.name, field="name")
    is_renamed = not role._state.adding and not TenantRole.objects.filter(pk=role.pk, name=role.name).exists()
    strays = {"rights": ", ".join(sorted(set(role.rights) - (NARROWABLE if role.narrowing else GRANTABLE)))}
    faults = (
        (role.name in _RESERVED, "name", translate("A shipped role has this name.")),
        (is_renamed, "name", translate("Members and keys name the role; make another one.")),
        (not role.rights, "rights", translate("Choose at least one right.")),
        (
            strays["rights"] and role.narrowing,
            "rights",
            translate("A narrowed role cannot have %(rights)s: what these show cannot be narrowed.", strays),
        ),
        (strays["rights"], "rights", translate("Roles of a tenant cannot have %(rights)s.", strays)),
    )
    for is_fault, field, text in faults:
        if is_fault:
            raise FieldInvalidError.at(field, text)
    role.rights = sorted(set(role.rights))
    require_held(role.rights)


def check_role_unused(role: TenantRole) -> None:
    """Lock a role that is about to be deleted; raise `RoleInUseError`, which counts what has it."""
    with tenant_context(role.tenant_id):
        TenantRole.objects.select_for_update(no_key=True).filter(pk=role.pk).first()
        now = read_clock()
        pending = Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)
        keys = ApiKey.objects.filter(revoked_at=None).exclude(expires_at__lte=now)
        rules = ClaimRule.objects.filter(tenant=role.tenant_id)
        users = {"members": Membership.objects.all(), "invitations": pending, "keys": keys, "rules": rules}
        counts = {name: rows.filter(role=role.name).count() for name, rows in users.items()}
    if any(counts.values()):
        raise RoleInUseError(values=counts)


def role_choices(*, has_shipped: bool = True) -> list[tuple[str, str]]:
    """Return the names and words of the roles that forms offer: the shipped ones, and those of the current scope."""
    own = TenantRole.objects.order_by("name").values_list("name", flat=True)[:1_000]
    names = [*(Role.values if has_shipped else ()), *dict.fromkeys(own)]
    return [(name, str(role_words(name))) for name in names]
