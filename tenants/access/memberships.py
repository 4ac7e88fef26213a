"""Members of a tenant and their roles."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tenants.access.api_keys import revoke_keys_of
from tenants.access.invitation_ends import revoke_user_invitations
from tenants.access.permissions import Permission
from tenants.access.roles import require_held, require_role, rights_of_role
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.exceptions import AlreadyMemberError, LastOwnerError
from tenants.models import Membership, Role, Tenant


def add_member(
    *, tenant: Tenant, user: AbstractBaseUser, role: str = Role.VIEWER, is_by_claims: bool = False
) -> Membership:
    """Make `user` a member of `tenant`. Raise `AlreadyMemberError` if `user` is one already."""
    role = require_role(tenant.pk, role)
    with tenant_context(tenant):
        membership = Membership(tenant=tenant, user_id=user.pk, role=role, is_by_claims=is_by_claims)
        try:
            with transaction.atomic():
                membership.save(force_insert=True)
        except IntegrityError as error:
            raise AlreadyMemberError from error
        after = {"user": user.get_username(), "role": role}
        record_audit(action="membership.added", target=membership, after=after)
    return membership


def change_role(*, membership: Membership, role: str, keeps_owner: bool = True) -> Membership:
    """Change a member's role. Raise `LastOwnerError` if the tenant would have no owner left, unless that is accepted.

    Raise `RightNotHeldError` for rights that the caller does not have. If the new role may not invite, the member's
    pending invitations are revoked.
    """
    role = require_role(membership.tenant_id, role)
    with tenant_context(membership.tenant_id):
        before, rights = membership.role, rights_of_role(membership.tenant_id, role)
        if before != role:
            require_held(rights | rights_of_role(membership.tenant_id, before))
            if keeps_owner:
                _keep_an_owner(membership)
            membership.role = role
            membership.save(update_fields=["role"])
            record_audit(
                action="membership.role_changed", target=membership, before={"role": before}, after={"role": role}
            )
            if Permission.MEMBERS_MANAGE not in rights:
                revoke_user_invitations(user_id=membership.user_id, reason="The inviter is no longer an owner.")
    return membership


def remove_member(*, membership: Membership, keeps_owner: bool = True) -> None:
    """Remove a member from its tenant, and revoke the API keys and invitations that the member has issued for it.

    Raise `LastOwnerError` if the member is the last owner, unless that is accepted, and `RightNotHeldError` if the
    member has rights that the caller does not have.
    """
    with tenant_context(membership.tenant_id):
        require_held(rights_of_role(membership.tenant_id, membership.role))
        if keeps_owner:
            _keep_an_owner(membership)
        before = {"user": membership.user.get_username(), "role": membership.role}
        record_audit(action="membership.removed", target=membership, before=before)
        membership.delete()
        revoke_keys_of(user_id=membership.user_id, reason="The member who issued it has left.")
        revoke_user_invitations(user_id=membership.user_id, reason="The member who issued it has left.")


def remember_tenant_choice(*, membership: Membership) -> None:
    """Store that the user has just chosen this tenant, so that the next log-in opens it."""
    with tenant_context(membership.tenant_id):
        Membership.objects.filter(pk=membership.pk).update(last_chosen_at=Now())


def _keep_an_owner(leaving: Membership) -> None:
    # The owners are locked, so that two of them leaving at once cannot both go.
    owners = list(
        Membership.objects.select_for_update(no_key=True).filter(role=Role.OWNER).values_list("pk", flat=True)
    )
    if owners == [leaving.pk]:
        raise LastOwnerError
