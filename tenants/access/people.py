"""User accounts and platform roles. At least one active platform admin always remains."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_noop

from tenants.access.api_keys import revoke_keys_of
from tenants.access.permissions import PlatformRole
from tenants.access.sessions import end_sessions_of
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.exceptions import DomainError, FieldInvalidError, LastAdminError, NoPlatformRoleError
from tenants.models import PlatformMembership


class UserTakenError(DomainError):
    code, category, title = "user_taken", "conflict", gettext_noop("An account with this name already exists.")


def create_platform_admin(*, username: str, password: str, email: str = "", reason: str = "") -> Any:
    """Create a user account with the platform role admin. Raise `UserTakenError` if the user name exists.

    Raise `FieldInvalidError` for an invalid field, such as a weak password.
    """
    user = get_user_model()(username=username, email=email)
    _check_password(user, password)
    with all_tenants():
        if _accounts().filter(username=username).exists():
            raise UserTakenError(
                "The account %(username)r already exists; give it the role with grant_platform_role.",
                {"username": username},
            )
        check_new_account(user, password)
        user.save()
        PlatformMembership.objects.create(user_id=user.pk, role=PlatformRole.ADMIN)
        after = {"name": username, "email": email, "role": PlatformRole.ADMIN}
        record_audit(action="user.created", target=user, after=after, reason=reason)
    return user


def check_new_account(user: Any, password: str) -> None:
    """Validate an account that is not saved yet, and set its password.

    Raise `FieldInvalidError` for an invalid field.
    """
    _check_password(user, password)
    user.set_password(password)
    _check_fields(user)


def change_password(*, user: Any, password: str, reason: str = "") -> None:
    """Change an account's password and end all its sessions. Raise `FieldInvalidError` if the password is too weak."""
    _check_password(user, password)
    with all_tenants():
        user.set_password(password)
        user.save(update_fields=["password"])
        after = {"name": user.get_username(), "ended_sessions": end_sessions_of(user.pk)}
        record_audit(action="user.password_changed", target=user, after=after, reason=reason)


def grant_platform_role(
    *, user: Any, role: PlatformRole | str, reason: str = "", is_by_claims: bool = False
) -> PlatformMembership:
    """Set the user's platform role, in place of an earlier one. The superuser flag is removed.

    Raise `LastAdminError` if no active admin would be left.
    """
    role = _read_role(role)
    with all_tenants():
        _lock_admins()
        before = _role_of(user)
        if role is not PlatformRole.ADMIN:
            _keep_an_admin(user)
            _end_platform_keys(user)
        values = {"role": role, "is_by_claims": is_by_claims}
        membership, _ = PlatformMembership.objects.update_or_create(user_id=user.pk, defaults=values)
        _accounts().filter(pk=user.pk).update(is_superuser=False)
        user.is_superuser = False
        if before != role:
            action = "platform_role.granted" if before is None else "platform_role.changed"
            _record(action, user, before=before, after=role, reason=reason)
    return membership


def revoke_platform_role(*, user: Any, reason: str = "") -> None:
    """Revoke the user's platform role and superuser flag; from then on the user's memberships of tenants apply.

    Raise `NoPlatformRoleError` if the user has no platform role, `LastAdminError` if no active admin would be left.
    """
    with all_tenants():
        _lock_admins()
        before = _role_of(user)
        if before is None:
            raise NoPlatformRoleError("%(user)s has no platform role.", {"user": user.get_username()})
        _keep_an_admin(user)
        PlatformMembership.objects.filter(user_id=user.pk).delete()
        _end_platform_keys(user)
        _accounts().filter(pk=user.pk).update(is_superuser=False)
        user.is_superuser = False
        _record("platform_role.revoked", user, before=before, after=None, reason=reason)


def _end_platform_keys(user: Any) -> None:
    revoke_keys_of(user_id=user.pk, reason="The admin who issued it has lost the role.", only_of_platform=True)


def deactivate_user(*, user: Any, reason: str = "") -> None:
    """Deactivate an account, end its sessions, and revoke the API keys that it has issued in all tenants.

    Raise `LastAdminError` if no active admin would be left.
    """
    with all_tenants():
        _lock_admins()
        _keep_an_admin(user)
        changed = _accounts().filter(pk=user.pk, is_active=True).update(is_active=False)
        user.is_active = False
        ended = end_sessions_of(user.pk)
        revoked = revoke_keys_of(user_id=user.pk, reason="The account that issued it was deactivated.")
        if changed:
            after = {"name": user.get_username(), "ended_sessions": ended, "revoked_keys": revoked}
            record_audit(action="user.deactivated", target=user, after=after, reason=reason)


def activate_user(*, user: Any, reason: str = "") -> None:
    """Activate a deactivated account, so that its user can log in again."""
    with all_tenants():
        changed = _accounts().filter(pk=user.pk, is_active=False).update(is_active=True)
        user.is_active = True
        if changed:
            record_audit(action="user.activated", target=user, after={"name": user.get_username()}, reason=reason)


def record_password_change(*, user: Any) -> None:
    """Write the audit entry of a changed password. Django has already ended the old sessions by their session hash."""
    with all_tenants():
        record_audit(action="user.password_changed", target=user, after={"name": user.get_username()})


def _check_password(user: Any, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise FieldInvalidError(f"password: {' '.join(error.messages)}") from error


def _check_fields(user: Any) -> None:
    try:
        user.full_clean()
    except ValidationError as error:
        raise FieldInvalidError(
            " ".join(f"{name}: {' '.join(said)}" for name, said in error.message_dict.items())
        ) from error


def _accounts() -> Any:
    return get_user_model()._default_manager


def _role_of(user: Any) -> PlatformRole | None:
    if _accounts().filter(pk=user.pk, is_superuser=True).exists():
        return PlatformRole.ADMIN
    role = PlatformMembership.objects.filter(user_id=user.pk).values_list("role", flat=True).first()
    return None if role is None else PlatformRole(role)


def _lock_admins() -> None:
    # Without it, two admins who revoke each other's role at once would both succeed.
    LockClass.PLATFORM_ADMINS.hold()


def _keep_an_admin(leaving: Any) -> None:
    is_admin = Q(is_superuser=True) | Q(platform_membership__role=PlatformRole.ADMIN)
    admins = set(_accounts().filter(is_admin, is_active=True).values_list("pk", flat=True))
    if admins == {leaving.pk}:
        raise LastAdminError


def _record(action: str, user: Any, *, before: PlatformRole | None, after: PlatformRole | None, reason: str) -> None:
    name = user.get_username()
    record_audit(
        action=action,
        target=user,
        before=None if before is None else {"name": name, "role": before},
        after={"name": name, "role": after},
        reason=reason,
    )


def _read_role(role: PlatformRole | str) -> PlatformRole:
    try:
        return PlatformRole(role)
    except ValueError as error:
        raise FieldInvalidError(
            "role: %(role)r is not one of %(known)s.", {"role": role, "known": ", ".join(PlatformRole)}
        ) from error
