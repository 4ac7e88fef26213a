"""Admin pages of access reviews, and of their lines with the decisions."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin, TenantScopedAdmin
from tenants.console.post_actions import post_action, read_reason
from tenants.console.reason_form import ReasonActionForm
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.models import AccessReview, AccessReviewLine
from tenants.reviews.models import AccessDecision
from tenants.reviews.queries import with_counts
from tenants.reviews.service import close_review, decide, open_review, refresh_review

_MANAGE = Permission.MEMBERS_MANAGE


def _is_open(review: AccessReview) -> bool:
    return review.closed_at is None


def _is_undecided(line: AccessReviewLine) -> bool:
    return line.decision == AccessDecision.OPEN and _is_open(line.review)


@admin.register(AccessReview, site=console_site)
class AccessReviewAdmin(TenantScopedAdmin):
    """Admin page of reviews, the newest first. Adding one takes the snapshot."""

    view_permission = Permission.AUDIT_VIEW
    add_permission = _MANAGE
    list_display = ("opened_at", "opened_by", "open_lines", "decided_lines", "closed_at", "closed_by")
    facts = ("tenant", "opened_by", "opened_at", "open_lines", "decided_lines", "lines_link")
    readonly_fields = (*facts[1:], "closed_by", "closed_at", "sha256")
    ordering = ("-pk",)
    sortable_by = ()
    post_actions = ("refresh", "close")
    empty_title = gettext_lazy("No access reviews yet")
    empty_text = gettext_lazy("Open one: who has access now is listed, and each line is kept or revoked.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessReview]:
        return with_counts(super().get_queryset(request))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return () if self.access(request).tenant else ("tenant",)
        return (*self.facts, "closed_by", "closed_at", "sha256")

    def save_model(self, request: HttpRequest, obj: AccessReview, form: Any, change: bool) -> None:
        access = self.access(request)
        obj.pk = open_review(tenant=access.tenant or form.cleaned_data.get("tenant"), may=access.may).pk

    def response_add(
        self, request: HttpRequest, obj: AccessReview, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.success(request, gettext("The review is open. Decide about each line."))
        return HttpResponseRedirect(_lines_url(obj.pk))

    @admin.display(description=gettext_lazy("Open lines"))
    def open_lines(self, review: Any) -> int:
        return int(review.open_lines)

    @admin.display(description=gettext_lazy("Kept, revoked, ended"))
    def decided_lines(self, review: Any) -> str:
        return f"{review.keep_lines}, {review.revoke_lines}, {review.ended_lines}"

    @admin.display(description=gettext_lazy("Lines"))
    def lines_link(self, review: AccessReview) -> SafeString:
        return format_html('<a href="{}">{}</a>', _lines_url(review.pk), gettext("Show the lines"))

    @post_action(label=gettext_lazy("Refresh"), permission=_MANAGE, is_offered=_is_open)
    def refresh(self, request: HttpRequest, review: AccessReview, reason: str) -> str:
        refresh_review(review_id=review.pk, may=self.access(request).may)
        return gettext("The open lines are as they are now.")

    @post_action(
        label=gettext_lazy("Close"),
        consequence=gettext_lazy("Its lines cannot be decided about any more."),
        permission=_MANAGE,
        is_danger=True,
        is_offered=_is_open,
    )
    def close(self, request: HttpRequest, review: AccessReview, reason: str) -> str:
        close_review(review_id=review.pk, may=self.access(request).may)
        return gettext("The review is closed.")


@admin.register(AccessReviewLine, site=console_site)
class AccessReviewLineAdmin(ReadOnlyAdmin):
    """Admin page of the lines of reviews, with the decision about one or about the selected ones."""

    view_permission = Permission.AUDIT_VIEW
    list_title = gettext_lazy("Lines of access reviews")
    list_display = ("subject", "shown_kind", "role", "given_at", "last_used_at", "decision", "decided_by", "review")
    list_filter = ("decision", "kind", "review")
    list_select_related = ("review",)
    list_per_page = 100
    now = ("review", "shown_kind", "subject", "role", "grants_text", "given_at", "last_used_at")
    fields = (*now, "decision", "note", "is_own", "decided_by", "decided_at")
    readonly_fields = fields
    ordering = ("-review_id", "pk")
    sortable_by = ()
    actions = ("keep_selected",)
    action_form = ReasonActionForm
    action_permissions = {"keep_selected": _MANAGE}
    post_actions = ("keep", "revoke")
    empty_title = gettext_lazy("No lines")
    empty_text = gettext_lazy("Open an access review: its lines are listed here.")

    @admin.display(description=gettext_lazy("Kind"))
    def shown_kind(self, line: AccessReviewLine) -> str:
        return line.get_kind_display()

    @admin.display(description=gettext_lazy("Grants"))
    def grants_text(self, line: AccessReviewLine) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(line.grants, indent=2, sort_keys=True, ensure_ascii=False))

    @admin.action(description=gettext_lazy("Keep the selected lines"))
    def keep_selected(self, request: HttpRequest, queryset: QuerySet[AccessReviewLine]) -> None:
        """Keep the selected lines, review by review."""
        for review_id in queryset.order_by().values_list("review", flat=True).distinct():
            lines = list(queryset.filter(review=review_id).values_list("pk", flat=True))
            values: dict[str, Any] = {"decision": AccessDecision.KEEP, "note": read_reason(request)}
            try:
                decide(review_id=review_id, line_ids=lines, may=self.access(request).may, **values)
            except DomainError as refusal:
                messages.error(request, refusal.detail)
            else:
                messages.success(request, gettext("%(count)s lines are kept.") % {"count": len(lines)})

    @post_action(
        label=gettext_lazy("Keep"),
        consequence=gettext_lazy("The access stays, and your decision is recorded."),
        permission=_MANAGE,
        takes_reason=True,
        is_offered=_is_undecided,
    )
    def keep(self, request: HttpRequest, line: AccessReviewLine, reason: str) -> str:
        self._decide(request, line, AccessDecision.KEEP, reason)
        return gettext("The access is kept.")

    @post_action(
        label=gettext_lazy("Revoke"),
        consequence=gettext_lazy("The access ends at once: as on the page of members, keys, roles or accounts."),
        permission=_MANAGE,
        takes_reason=True,
        is_danger=True,
        is_offered=_is_undecided,
    )
    def revoke(self, request: HttpRequest, line: AccessReviewLine, reason: str) -> str:
        self._decide(request, line, AccessDecision.REVOKE, reason)
        return gettext("The access is revoked.")

    def _decide(self, request: HttpRequest, line: AccessReviewLine, decision: str, reason: str) -> None:
        may = self.access(request).may
        decide(review_id=line.review_id, line_ids=[line.pk], decision=decision, note=reason, may=may)


def _lines_url(review_id: Any) -> str:
    return f"{reverse('admin:tenants_accessreviewline_changelist')}?review__id__exact={review_id}&decision__exact=open"
