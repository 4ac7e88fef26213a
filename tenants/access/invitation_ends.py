"""Revocation of pending invitations, by an owner or because the inviter may no longer invite."""

from __future__ import annotations

from typing import Any

from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.models import Invitation


def revoke_invitation(*, invitation: Invitation, reason: str = "") -> Invitation:
    """Revoke a pending invitation and return it. An invitation that is accepted or revoked stays unchanged."""
    with tenant_context(invitation.tenant_id):
        pending = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
        if pending.update(revoked_at=read_clock()):
            invitation.refresh_from_db()
            after = {"user": invitation.invitee, "revoked_at": invitation.revoked_at}
            record_audit(action="invitation.revoked", target=invitation, after=after, reason=reason)
    return invitation


def revoke_user_invitations(*, user_id: Any, reason: str) -> None:
    """Revoke the pending invitations that the user has issued for the tenants of the current scope."""
    for invitation in Invitation.objects.filter(invited_by_id=user_id, accepted_at=None, revoked_at=None):
        revoke_invitation(invitation=invitation, reason=reason)
