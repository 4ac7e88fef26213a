"""Verifications of the audit log in the console: who asked, how far each is, and what it has found."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.admin.audit_filters import told_actor
from tenants.admin.keyset import KeysetAdmin
from tenants.chain_check import told_finding
from tenants.live import answer_part, tag_of
from tenants.models import AuditVerification, VerificationState
from tenants.permissions import Permission

BODY_TEMPLATE = "tenants/admin/verification_body.html"
_MARKS = {
    VerificationState.RUNNING: ("◐", gettext_lazy("goes on"), "busy"),
    VerificationState.INTACT: ("✓", gettext_lazy("intact"), "good"),
    VerificationState.ALTERED: ("✕", gettext_lazy("not intact"), "bad"),
}


@admin.register(AuditVerification)
class AuditVerificationAdmin(KeysetAdmin):
    """Asked for on the audit log's page; looked at here, where a page that is open follows it to its end."""

    view_permission = Permission.AUDIT_VIEW
    list_display = ("requested_at", "how", "chain", "part", "finding_count", "asked_by", "finished_at")
    list_display_links = ("requested_at", "how")
    change_form_before_template = "tenants/admin/verification.html"
    empty_title = "Nobody has asked for a verification"
    empty_text = "“Verify the chain” on the audit log's page begins one. Upkeep verifies every chain once a day."
    fields = ("chain", "asked_by", "requested_at", "finished_at")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        part = self.guard(require_safe(self.part_view), Permission.AUDIT_VIEW)
        return [path("<uuid:pk>/part/", part, name="tenants_auditverification_part"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("place")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if object_id is not None and self.has_view_permission(request):
            verification = self.get_object(request, object_id)
            if verification is not None:
                body = _render_body(request, verification)
                context |= {"verification": verification, "body": body, "body_etag": tag_of(body)}
        return super().changeform_view(request, object_id, form_url, context)

    def part_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """What of the page changes while the verification goes on."""
        verification = self.get_queryset(request).filter(pk=pk).first()
        if verification is None:
            raise Http404
        return answer_part(request, _render_body(request, verification))

    @admin.display(description="Result")
    def how(self, verification: AuditVerification) -> SafeString:
        return _mark(verification)

    @admin.display(description="Chain")
    def chain(self, verification: AuditVerification) -> str:
        return gettext("all chains") if verification.tenant_id is None else gettext("the tenant's")

    @admin.display(description="Looked at")
    def part(self, verification: AuditVerification) -> str:
        return f"{verification.progress:.0%}"

    @admin.display(description="Asked for by")
    def asked_by(self, verification: AuditVerification) -> str:
        return told_actor(verification)


# What a finding is, by its kind.
FINDING_KINDS = {
    "entry_edited": "entry edited",
    "entry_missing": "entry missing",
    "entry_inserted": "entry inserted",
    "entry_unsealed": "entry without a seal",
    "seals_missing": "seals missing",
    "seal_altered": "seal altered",
    "seal_before_checkpoint": "seal before the checkpoint",
    "order_changed": "order changed",
    "link_broken": "link broken",
    "fork": "fork of the chain",
    "end_missing": "end missing",
    "head_differs": "head differs",
    "head_forged": "head forged",
    "head_key_unknown": "key of the head unknown",
}


def _mark(verification: AuditVerification) -> SafeString:
    glyph, words, tone = _MARKS[verification.state]
    mark = '<span class="console-mark" data-tone="{}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(mark, tone, glyph, words)


def _render_body(request: HttpRequest, verification: AuditVerification) -> str:
    context = {
        "verification": verification,
        "mark": _mark(verification),
        "percent": round(100 * verification.progress),
        "findings": [
            finding
            | {
                "words": gettext(FINDING_KINDS.get(finding["kind"], finding["kind"])),
                "detail": told_finding(finding),
            }
            for finding in verification.findings
        ],
        "left_out": verification.finding_count - len(verification.findings),
    }
    return render_to_string(BODY_TEMPLATE, context, request)
