"""Mails about requests of approval: to those who may decide, and to the person who asked.

They have the act, names, times and a link, and neither arguments nor preview. The messages of alerts deliver them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from tenants.access.models import Membership, TenantRole
from tenants.access.permissions import PLATFORM_ROLES, TENANT_ROLES, Permission
from tenants.access.roles import rights_of_custom
from tenants.approvals.acts import acts
from tenants.approvals.models import ApprovalRequest, ApprovalStatus
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.platform_settings import platform_settings
from tenants.signals import approval_mail_wanted

MOST_APPROVERS: Final = 20
# A request that expired earlier, as before an update, is not reported any more.
_REPORTED: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class ApprovalMail:
    """A mail about a request to addresses; the receiver appends the link to the request's page."""

    request_id: UUID
    tenant_id: UUID | None
    addresses: Sequence[str]
    subject: str
    text: str


def mail_approvers(row: ApprovalRequest) -> None:
    """Send a mail about a new request to those who may decide it; it needs the scope of all tenants."""
    if not platform_settings.APPROVAL_MAILS:
        return
    values = _values_of(row)
    subject = gettext("Approval wanted: %(act)s") % values
    text = gettext("%(person)s asks for a second person (%(tenant)s): %(act)s. Decide until %(end)s.") % values
    _send(row, approver_addresses(row), subject, text)


def mail_requester(row: ApprovalRequest) -> None:
    """Send a mail about a decided or expired request to the person who asked; it needs the scope of all tenants."""
    kind, _, key = row.requester.partition(":")
    if not platform_settings.APPROVAL_MAILS or kind != "user":
        return
    values = _values_of(row)
    subject, text = gettext("Expired: %(act)s") % values, gettext("There was no decision until %(end)s.") % values
    if row.status == ApprovalStatus.REJECTED:
        subject, text = gettext("Rejected: %(act)s") % values, gettext("%(decider)s has rejected it.") % values
    elif row.status != ApprovalStatus.PENDING:
        subject, text = gettext("Approved: %(act)s") % values, gettext("%(decider)s has approved it.") % values
        if row.status == ApprovalStatus.APPROVED:
            text = f"{text} {gettext('Repeat the call before %(end)s.') % values}"
    _send(row, _addresses(_users().filter(pk=key)), subject, text)


def mail_next_expired() -> bool:
    """Report the next expired request to the person who asked, once; return False if there is none."""
    with all_tenants():
        now = read_moment()
        expired = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__lte=now)
        unreported = expired.filter(expires_at__gt=now - _REPORTED, expiry_mailed_at=None)
        # A row locked by another process is left to the next run.
        row = unreported.select_for_update(no_key=True, of=("self",), skip_locked=True).order_by("pk").first()
        if row is None:
            return False
        ApprovalRequest.objects.filter(pk=row.pk).update(expiry_mailed_at=now)
        mail_requester(row)
    return True


def approver_addresses(row: ApprovalRequest) -> list[str]:
    """Return the addresses of the first MOST_APPROVERS people who may decide about a request, without its requester.

    These are members of its tenant or, if none of them may, the staff of the platform.
    """
    needed = {Permission.APPROVALS_DECIDE, acts()[row.act].permission}
    kind, _, key = row.requester.partition(":")
    others = _users().exclude(pk=key) if kind == "user" else _users()
    if row.tenant_id is not None:
        roles = [name for name, rights in TENANT_ROLES.items() if needed <= rights]
        own = TenantRole.objects.filter(tenant=row.tenant_id)
        roles += [role.name for role in own if needed <= rights_of_custom(role)]
        members = Membership.objects.filter(tenant=row.tenant_id, role__in=roles)
        if found := _addresses(others.filter(pk__in=members.values("user_id"))):
            return found
    staff = [role for role, rights in PLATFORM_ROLES.items() if needed <= rights]
    return _addresses(others.filter(Q(is_superuser=True) | Q(platform_membership__role__in=staff)))


def _send(row: ApprovalRequest, addresses: Sequence[str], subject: str, text: str) -> None:
    if addresses:
        mail = ApprovalMail(row.pk, row.tenant_id, addresses, subject, text)
        approval_mail_wanted.send(None, mail=mail)


def _values_of(row: ApprovalRequest) -> dict[str, Any]:
    return {
        "act": acts()[row.act].label,
        "person": row.requested_by,
        "tenant": row.tenant.name if row.tenant else gettext("the platform"),
        "decider": row.decided_by,
        "end": f"{row.expires_at:%Y-%m-%d %H:%M} UTC",
    }


def _addresses(people: QuerySet[Any]) -> list[str]:
    rows = people.filter(is_active=True).exclude(email="").order_by("pk").values_list("email", flat=True)
    return list(dict.fromkeys(rows[:MOST_APPROVERS]))


def _users() -> QuerySet[Any]:
    users: QuerySet[Any] = get_user_model()._default_manager.all()
    return users
