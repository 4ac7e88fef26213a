"""Invitations: offered by a tenant's owners, accepted by whoever has the link and logs in or makes an account.

Inviting reads no account, so that its answer says nothing about the name that was typed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from tenants.access_errors import InvitationInvalidError, InvitationRefusedError, TooManyInvitationsError
from tenants.clock import read_clock
from tenants.context import Actor, acting_as, all_tenants, current_actor, tenant_context
from tenants.mail import deliver_mail
from tenants.models import Invitation, Membership, Role, Tenant
from tenants.names import clean_name
from tenants.selectors.people import find_places
from tenants.services.audit import part_of_act, record_audit
from tenants.services.memberships import add_member, read_role
from tenants.services.people import check_new_account
from tenants.texts import said

LASTS = timedelta(days=7)
MAX_PENDING = 100
_SUFFIX_BYTES = 3


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """A new invitation; `link` is None if it was mailed, else it is shown to the inviter once."""

    invitation: Invitation
    link: str | None


def invite(*, tenant: Tenant, invitee: str, role: Role | str, link_of: Callable[[str], str]) -> IssuedInvitation:
    """Offer `invitee`, a user name or e-mail address, a place in `tenant`; `link_of` makes the link of a token.

    An earlier invitation of the same name is revoked. Raise `TooManyInvitationsError` beyond MAX_PENDING.
    """
    role, invitee = read_role(role), clean_name(invitee, max_length=254)
    token, now, actor = secrets.token_urlsafe(32), read_clock(), current_actor()
    link = link_of(token)
    with tenant_context(tenant):
        pending = Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)
        pending.filter(invitee__iexact=invitee).update(revoked_at=now)
        if pending.count() >= MAX_PENDING:
            raise TooManyInvitationsError
        invitation = Invitation.objects.create(
            tenant=tenant,
            invitee=invitee,
            role=role,
            token_hash=_hash(token),
            invited_by_id=actor.id if actor.kind == "user" else None,
            expires_at=now + LASTS,
            is_mailed=_mail(tenant, invitee, link),
        )
        invitation.refresh_from_db()
        after = {"user": invitee, "role": role, "expires_at": invitation.expires_at}
        record_audit(action="invitation.created", target=invitation, after=after)
    return IssuedInvitation(invitation, None if invitation.is_mailed else link)


def revoke_invitation(*, invitation: Invitation, reason: str = "") -> Invitation:
    """End a pending invitation; one that is over stays as it is."""
    with tenant_context(invitation.tenant_id):
        pending = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
        if pending.update(revoked_at=read_clock()):
            invitation.refresh_from_db()
            after = {"user": invitation.invitee, "revoked_at": invitation.revoked_at}
            record_audit(action="invitation.revoked", target=invitation, after=after, reason=reason)
    return invitation


def find_invitation(token: str) -> Invitation:
    """Return the pending invitation of a token with its tenant; raise `InvitationInvalidError` for any other."""
    with all_tenants():
        found = Invitation.objects.select_related("tenant").filter(token_hash=_hash(token)).first()
        if found is None or found.state_at(read_clock()) != "pending":
            raise InvitationInvalidError
    invitation: Invitation = found
    return invitation


def accept_invitation(*, token: str, user: Any) -> Membership:
    """Give `user` the place that the invitation of `token` offers, once.

    Raise `InvitationInvalidError` if it is not pending, `InvitationRefusedError` for people of the platform and for
    another user than the one whose name it holds, `AlreadyMemberError` for a member.
    """
    return _accept(token, user, is_new=False)


@transaction.atomic
def accept_with_new_account(*, token: str, username: str, password: str) -> Any:
    """Make an account that takes the place which the invitation of `token` offers; return the user.

    Its name is `username` with a random end, so that no answer says which names are taken.
    """
    invitation = find_invitation(token)
    name = f"{username.strip()[:140]}-{secrets.token_hex(_SUFFIX_BYTES)}"
    email = invitation.invitee if "@" in invitation.invitee else ""
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
        locked = Invitation.objects.select_related("tenant").select_for_update(of=("self",))
        invitation = locked.get(token_hash=_hash(token))
        if invitation.state_at(read_clock()) != "pending":
            raise InvitationInvalidError
        # The name of a new account is the platform's choice.
        if not is_new and not _may_accept(invitation, user):
            raise InvitationRefusedError
        invitation.accepted_at = read_clock()
        invitation.save(update_fields=["accepted_at"])
        with part_of_act():
            membership = add_member(tenant=invitation.tenant, user=user, role=invitation.role)
        after = {"user": user.get_username(), "role": invitation.role}
        record_audit(action="invitation.accepted", target=invitation, after=after)
    return membership


def _may_accept(invitation: Invitation, user: Any) -> bool:
    if find_places(user).platform_role is not None:
        return False
    return "@" in invitation.invitee or invitation.invitee == user.get_username()


def _mail(tenant: Tenant, invitee: str, link: str) -> bool:
    # Only to an address that was typed: to look up that of an account would tell that there is one.
    if "@" not in invitee:
        return False
    subject = said("Invitation to %(tenant)s", {"tenant": tenant.name})
    text = said("You are invited to work in %(tenant)s. The link is valid for seven days:", {"tenant": tenant.name})
    return deliver_mail(recipients=[invitee], subject=subject, text=f"{text}\n\n{link}\n")


def _hash(token: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()
