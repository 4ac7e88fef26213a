"""Read-only admin pages of the audit log: filters and differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.audit.diffs import diff_documents
from tenants.audit.export import describe_entry
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
from tenants.console.links import console_link
from tenants.console.site import console_site
from tenants.models import AuditLogEntry


@admin.register(AuditLogEntry, site=console_site)
class AuditLogEntryAdmin(KeysetAdmin):
    """Admin page of audit entries, newest first."""

    view_permission = Permission.AUDIT_VIEW
    list_title = gettext_lazy("Audit")
    export_permission = Permission.AUDIT_EXPORT
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
    fields = ("at", "action", "target", "actor", "reason", "of_request", "place", "chain_hash", "changes")
    readonly_fields = fields

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.fields) if self.access(request).sees_all_tenants else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.readonly_fields)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        query = request.GET.urlencode()
        acts = {
            # Pages of an app above this one, referenced by URL name only.
            "verify_url": f"{reverse('admin:scheduling_tenantupkeeprun_verify')}?{query}",
            "verifications_url": reverse("admin:scheduling_tenantupkeeprun_changelist"),
        }
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "audit_acts": acts})
        return response

    def export_row(self, row: AuditLogEntry, columns: Mapping[str, str]) -> dict[str, Any]:
        """Return an entry with all hashed fields, and its seal."""
        return describe_entry(row)

    @admin.display(description=gettext_lazy("Target"))
    def target(self, entry: AuditLogEntry) -> str:
        return f"{entry.target_type} {entry.target_id}".strip()

    @admin.display(description=gettext_lazy("Actor"))
    def actor(self, entry: AuditLogEntry) -> str:
        return actor_label(entry)

    @admin.display(description=gettext_lazy("Request id"))
    def of_request(self, entry: AuditLogEntry) -> SafeString | str:
        if not entry.request_id:
            return "–"
        # A page of an app above this one, referenced by URL name only.
        query = urlencode({"request": entry.request_id, "at": entry.at.isoformat()})
        return console_link(f"{reverse('admin:correlation')}?{query}", entry.request_id)

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
