"""Reads of requests of approval."""

from __future__ import annotations

from django.db.models import QuerySet

from tenants.access.caller import Access
from tenants.approvals.acts import acts
from tenants.database.clock import read_clock
from tenants.models import ApprovalRequest, ApprovalStatus


def visible_to(access: Access, rows: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    """Return the requests that the caller may see: platform staff all, others those of acts that they may do."""
    if access.platform_role is not None:
        return rows
    return rows.filter(act__in=[act.name for act in acts().values() if act.permission in access.granted])


def is_open(row: ApprovalRequest) -> bool:
    """Return whether the request can still be decided."""
    return row.status == ApprovalStatus.PENDING and row.expires_at > read_clock()
