"""Read-only admin pages of the audit log: filters, differences and export."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.audit.diffs import diff_documents
from tenants.audit.export import CONTENT_TYPES, ExportFormat, export_entries
from tenants.audit.filters import (
    ActionFilter,
    ActorFilter,
    AuditTenantFilter,
    MomentFilter,
    RequestFilter,
    TargetFilter,
    actor_label,
)
from tenants.console.keyset import KeysetAdmin
from tenants.console.site import console_site
from tenants.limits.declared import HEAVY, costs
from tenants.models import AuditLogEntry


@admin.register(AuditLogEntry, site=console_site)
class AuditLogEntryAdmin(KeysetAdmin):
    """Admin page of audit entries, newest first."""

    view_permission = Permission.AUDIT_VIEW
    list_title = gettext_lazy("Audit")
    list_display = ("at", "action", "target", "actor", "reason", "place")
    list_display_links = ("at", "action")
    list_select_related = ("seal",)
    list_filter = (
        ActionFilter,
        TargetFilter,
        ActorFilter,
        RequestFilter,
        AuditTenantFilter,
        ("at", MomentFilter),
    )
    list_filter_submit = True
    list_before_template = "tenants/admin/audit_acts.html"
    empty_title = gettext_lazy("No audit entries yet")
    empty_text = gettext_lazy("Each action of a person, key or command that changes something is recorded here.")
    fields = ("at", "action", "target", "actor", "reason", "request_id", "place", "chain_hash", "changes")
    readonly_fields = fields

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.fields) if self.access(request).sees_all_tenants else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.readonly_fields)

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(require_POST(self.export_view))
        return [path("export/", export, name="tenants_auditlogentry_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        query = request.GET.urlencode()
        acts = {
            # Pages of an app above this one, referenced by URL name only.
            "verify_url": f"{reverse('admin:scheduling_tenantupkeeprun_verify')}?{query}",
            "verifications_url": reverse("admin:scheduling_tenantupkeeprun_changelist"),
            "export_url": f"{reverse('admin:tenants_auditlogentry_export')}?{query}",
            "may_export": self.access(request).may(Permission.AUDIT_EXPORT),
            "formats": list(CONTENT_TYPES),
        }
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "audit_acts": acts})
        return response

    @costs(HEAVY)
    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Download the entries of the filtered list, of all its pages, as a file."""
        if not self.access(request).may(Permission.AUDIT_EXPORT):
            raise PermissionDenied
        wanted = request.POST.get("format", "")
        if wanted not in CONTENT_TYPES:
            return HttpResponseBadRequest(gettext("There is no such format."))
        file_format = cast("ExportFormat", wanted)
        shown = self.get_changelist_instance(request)
        lines = export_entries(
            entries=shown.get_queryset(request),
            filters=_given(request.GET.dict()),
            file_format=file_format,
            before_page=partial(require_still_authorized, request, Permission.AUDIT_EXPORT),
        )
        headers = {
            "Content-Disposition": f'attachment; filename="audit-log.{file_format}"',
            "Cache-Control": "no-store",
        }
        return StreamingHttpResponse(lines, content_type=CONTENT_TYPES[file_format], headers=headers)

    @admin.display(description=gettext_lazy("Target"))
    def target(self, entry: AuditLogEntry) -> str:
        return f"{entry.target_type} {entry.target_id}".strip()

    @admin.display(description=gettext_lazy("Actor"))
    def actor(self, entry: AuditLogEntry) -> str:
        return actor_label(entry)

    @admin.display(description=gettext_lazy("Seal"))
    def place(self, entry: AuditLogEntry) -> SafeString:
        seal = getattr(entry, "seal", None)
        glyph, words, tone = (
            ("…", gettext("waiting"), "wait")
            if seal is None
            else ("✓", gettext("sealed #%(sequence)s") % {"sequence": seal.sequence}, "good")
        )
        mark = '<span class="console-mark" data-tone="{}"><span aria-hidden="true">{}</span> {}</span>'
        return format_html(mark, tone, glyph, words)

    @admin.display(description=gettext_lazy("Hash"))
    def chain_hash(self, entry: AuditLogEntry) -> str:
        seal = getattr(entry, "seal", None)
        return (
            gettext("Not sealed yet: a running auditor seals each entry within a second of its commit.")
            if seal is None
            else seal.hash
        )

    @admin.display(description=gettext_lazy("Changes"))
    def changes(self, entry: AuditLogEntry) -> SafeString:
        diffs = diff_documents(entry.before, entry.after)
        return render_to_string("tenants/admin/audit_changes.html", {"diffs": diffs, "entry": entry})


def _given(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}
