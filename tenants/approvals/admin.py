"""Admin pages of requests of approval: what is asked for, and the decision."""

from __future__ import annotations

import json

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.approvals.queries import is_open, visible_to
from tenants.approvals.service import approve, reject
from tenants.console.base import ReadOnlyAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import ApprovalRequest, ApprovalStatus


@admin.register(ApprovalRequest, site=console_site)
class ApprovalRequestAdmin(ReadOnlyAdmin):
    """Admin pages of requests, the newest first."""

    view_permission = Permission.AUDIT_VIEW
    list_display = ("requested_at", "act", "preview", "state", "requested_by", "decided_by", "expires_at")
    list_display_links = ("requested_at", "act")
    list_filter = ("act", "status")
    asked = ("act", "preview", "state", "arguments_text", "requested_by", "requested_at", "expires_at")
    fields = (*asked, "decided_by", "decided_at", "reason")
    readonly_fields = fields
    ordering = ("-pk",)
    sortable_by = ()
    post_actions = ("approve", "reject")
    empty_title = gettext_lazy("No requests of approval")
    empty_text = gettext_lazy("An act that needs a second person, by a rule of approvals, appears here.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalRequest]:
        return visible_to(self.access(request), super().get_queryset(request))

    @admin.display(description=gettext_lazy("State"))
    def state(self, row: ApprovalRequest) -> str:
        is_expired = row.status == ApprovalStatus.PENDING and not is_open(row)
        return gettext("Expired") if is_expired else row.get_status_display()

    @admin.display(description=gettext_lazy("Arguments"))
    def arguments_text(self, row: ApprovalRequest) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(row.arguments, indent=2, sort_keys=True, ensure_ascii=False))

    @post_action(
        label=gettext_lazy("Approve"),
        consequence=gettext_lazy("The act is done now, or may be repeated by the person who asked for it."),
        permission=Permission.APPROVALS_DECIDE,
        takes_reason=True,
        is_danger=True,
        is_offered=is_open,
    )
    def approve(self, request: HttpRequest, row: ApprovalRequest, reason: str) -> str:
        decided = approve(request_id=row.pk, reason=reason, may=self.access(request).may)
        if decided.status == ApprovalStatus.DONE:
            return gettext("Approved and done.")
        return gettext("Approved: %(name)s can repeat the call now.") % {"name": decided.requested_by}

    @post_action(
        label=gettext_lazy("Reject"),
        consequence=gettext_lazy("The act is not done."),
        permission=Permission.APPROVALS_DECIDE,
        asks_reason=True,
        is_offered=is_open,
    )
    def reject(self, request: HttpRequest, row: ApprovalRequest, reason: str) -> str:
        reject(request_id=row.pk, reason=reason, may=self.access(request).may)
        return gettext("The request is rejected.")
