"""Invitations: a tenant's owner issues one, and an existing or a new account accepts it through its link.

The code that invites reads no account, so its response does not reveal whether the invited name exists.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils.translation import gettext

from tenants.access.errors import InvitationInvalidError, InvitationRefusedError, TooManyInvitationsError
from tenants.access.invitation_ends import revoke_invitation
from tenants.access.memberships import add_member
from tenants.access.people import check_new_account
from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import PLATFORM_ROLES, Permission
from tenants.access.roles import require_held, require_role, rights_of_role
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import Actor, acting_as, all_tenants, current_actor, tenant_context
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.mail import deliver_mail
from tenants.models import Invitation, Membership, Tenant
from tenants.tenancy.bases import clean_name

LASTS = timedelta(days=7)
MAX_PENDING = 100
_SUFFIX_BYTES = 3


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """A new invitation and its link. `link` is None if the link is mailed after the commit, else it is shown once."""

    invitation: Invitation
    link: str | None


def invite(*, tenant: Tenant, invitee: str, role: str, link_of: Callable[[str], str]) -> IssuedInvitation:
    """Invite `invitee`, a user name or e-mail address, to `tenant`. `link_of(token)` returns the URL of a token.

    An earlier pending invitation of the invitee is revoked. Raise `TooManyInvitationsError` if MAX_PENDING others are
    pending, `RightNotHeldError` for rights that the caller does not have. An advisory lock on the tenant's invitations
    is held until the transaction ends.
    """
    role, invitee = require_role(tenant.pk, role), clean_name(invitee, max_length=254)
    require_held(rights_of_role(tenant.pk, role))
    token, now, actor = secrets.token_urlsafe(32), read_clock(), current_actor()
    link = link_of(token)
    with tenant_context(tenant):
        LockClass.INVITATION_COUNT.hold(str(tenant.pk))
        pending = Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)
        earlier = list(pending.filter(invitee__iexact=invitee))
        for invitation in earlier:
            revoke_invitation(invitation=invitation, reason="Replaced by another invitation.")
        if pending.count() >= MAX_PENDING:
            raise TooManyInvitationsError
        # After a failure of the mail server the link is shown. Only a typed address is mailed to: looking up an
        # account's address would reveal that the account exists.
        is_mailed = bool(settings.EMAIL_HOST) and "@" in invitee and all(one.is_mailed for one in earlier)
        invitation = Invitation.objects.create(
            tenant=tenant,
            invitee=invitee,
            role=role,
            token_hash=_hash(token),
            invited_by_id=actor.id if actor.kind == "user" else None,
            expires_at=now + LASTS,
            is_mailed=is_mailed,
        )
        invitation.refresh_from_db()
        after = {"user": invitee, "role": role, "expires_at": invitation.expires_at}
        record_audit(action="invitation.created", target=invitation, after=after)
        if is_mailed:
            transaction.on_commit(lambda: _mail(invitation, tenant, link))
    return IssuedInvitation(invitation, None if is_mailed else link)


def find_invitation(token: str) -> Invitation:
    """Return the pending invitation of a token, with its tenant.

    Raise `InvitationInvalidError` if the token is unknown or its invitation is used, revoked or expired.
    """
    with all_tenants():
        found = Invitation.objects.select_related("tenant").filter(token_hash=_hash(token)).first()
        if found is None or found.state_at(read_clock()) != "pending":
            raise InvitationInvalidError
    invitation: Invitation = found
    return invitation


def accept_invitation(*, token: str, user: Any) -> Membership:
    """Make `user` a member of the tenant that the token's invitation names. An invitation can be accepted once.

    Raise `InvitationInvalidError` if the invitation is not pending. Raise `InvitationRefusedError` for platform staff,
    and if the invitation names another user. Raise `AlreadyMemberError` if `user` is already a member.
    """
    return _accept(token, user, is_new=False)


@transaction.atomic
def accept_with_new_account(*, token: str, username: str, password: str) -> Any:
    """Create an account, accept the token's invitation with it, and return the user.

    A random suffix is added to `username`, so that the answer does not reveal which names are taken. The account gets
    the e-mail address that the invitation was mailed to. Raise `InvitationRefusedError` if the invitation names a user
    instead of an e-mail address.
    """
    invitation = find_invitation(token)
    if not invitation.is_of_address:
        raise InvitationRefusedError
    name = f"{username.strip()[:140]}-{secrets.token_hex(_SUFFIX_BYTES)}"
    email = invitation.invitee if invitation.is_mailed else ""
    user = get_user_model()(username=name, email=email)
    check_new_account(user, password)
    with acting_as(Actor(kind="system", label="invitation")), all_tenants():
        user.save()
        record_audit(action="user.created", target=user, after={"name": name})
    with acting_as(Actor(kind="user", id=str(user.pk), label=name, is_of_tenant=True)):
        _accept(token, user, is_new=True)
    return user


@transaction.atomic
def _accept(token: str, user: Any, *, is_new: bool) -> Membership:
    tenant_id = find_invitation(token).tenant_id
    with tenant_context(tenant_id):
        locked = Invitation.objects.select_related("tenant").select_for_update(no_key=True, of=("self",))
        invitation = locked.get(token_hash=_hash(token))
        if invitation.state_at(read_clock()) != "pending" or not _may_still_invite(invitation):
            raise InvitationInvalidError
        # A new account is not compared with the invitee, because the platform chose its name.
        if not is_new and not _may_accept(invitation, user):
            raise InvitationRefusedError
        invitation.accepted_at = read_clock()
        invitation.save(update_fields=["accepted_at"])
        with suppress_nested_entries():
            membership = add_member(tenant=invitation.tenant, user=user, role=invitation.role)
        after = {"user": user.get_username(), "role": invitation.role}
        record_audit(action="invitation.accepted", target=invitation, after=after)
    return membership


def _may_accept(invitation: Invitation, user: Any) -> bool:
    if find_user_roles(user).platform_role is not None:
        return False
    return invitation.is_of_address or invitation.invitee == user.get_username()


def _may_still_invite(invitation: Invitation) -> bool:
    """Return whether the inviter may still give the role; True for an invitation issued by a command."""
    inviter = invitation.invited_by
    if inviter is None:
        return True
    places = find_user_roles(inviter)
    if places.platform_role is not None:
        granted = PLATFORM_ROLES[places.platform_role]
    else:
        roles = [one.role for one in places.memberships if one.tenant_id == invitation.tenant_id]
        granted = frozenset(right for role in roles for right in rights_of_role(invitation.tenant_id, role))
    needed = {Permission.MEMBERS_MANAGE, *rights_of_role(invitation.tenant_id, invitation.role)}
    return inviter.is_active and needed <= granted


def _mail(invitation: Invitation, tenant: Tenant, link: str) -> None:
    """Mail the link. If the mail server fails, store and audit that."""
    subject = gettext("Invitation to %(tenant)s") % {"tenant": tenant.name}
    text = gettext("You are invited to work in %(tenant)s. The link is valid for seven days:") % {"tenant": tenant.name}
    if deliver_mail(recipients=[invitation.invitee], subject=subject, text=f"{text}\n\n{link}\n"):
        with tenant_context(tenant):
            Invitation.objects.filter(pk=invitation.pk).update(is_mailed=False)
            record_audit(action="invitation.not_mailed", target=invitation, after={"user": invitation.invitee})


def _hash(token: str) -> str:
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(token.encode()).hexdigest()
