"""Admin pages of sources of documents and their items."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin, TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from workloads.documents.models import Document
from workloads.documents.sources.models import ContentSource, SourceItem
from workloads.documents.sources.processor import DocumentSync
from workloads.documents.sources.queries import find_sources
from workloads.documents.sources.registry import connectors
from workloads.documents.sources.service import (
    EDITABLE_FIELDS,
    create_source,
    delete_source,
    start_sync,
    update_source,
)

_FIXED = ("dataset", "connector")
_SYNC = ("status", "shown_error", "synced_at", "shown_counts", "created_at")


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a source; its connector is one of those that are installed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "connector" in self.fields:
            self.fields["connector"].widget = UnfoldAdminSelectWidget(choices=[(name, name) for name in connectors()])
            self.fields["config"].help_text = "; ".join(
                f"{name}: {{{', '.join(one.schema['properties'])}}}" for name, one in connectors().items()
            )


@admin.register(ContentSource, site=console_site)
class ContentSourceAdmin(TenantScopedAdmin):
    """Admin page of sources of documents."""

    empty_title = gettext_lazy("No document sources yet")
    empty_text = gettext_lazy("A source keeps the documents of a dataset in sync with a bucket or a web site.")
    view_permission = Permission.DATASETS_VIEW
    add_permission = change_permission = Permission.DATASETS_MANAGE
    form = SourceForm
    list_display = ("name", "dataset", "connector", "status", "synced_at", "items", "errors")
    list_select_related = ("dataset",)
    search_fields = ("name", "dataset__name")
    ordering = ("-id",)
    post_actions = ("sync", "delete")
    change_form_before_template = "document_sources/admin/source_links.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        sources = find_sources()
        return sources.select_related("tenant") if self.access(request).sees_all_tenants else sources

    def get_fields(self, request: HttpRequest, obj: ContentSource | None = None) -> Any:
        if obj is not None:
            return (*_FIXED, *EDITABLE_FIELDS, *_SYNC)
        own = ("name", *_FIXED, *EDITABLE_FIELDS[1:])
        return ("tenant", *own) if self.access(request).tenant is None else own

    def get_readonly_fields(self, request: HttpRequest, obj: ContentSource | None = None) -> Any:
        return (*_FIXED, *_SYNC) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: ContentSource, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in EDITABLE_FIELDS}
        if change:
            update_source(source_id=obj.pk, changes=values)
            return
        tenant = self.access(request).tenant or form.cleaned_data["tenant"]
        fixed = {name: form.cleaned_data[name] for name in _FIXED}
        obj.pk = create_source(tenant=tenant, **fixed, **values).pk

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        source = context.get("original")
        if source is not None:
            payload = json.dumps({"source": str(source.pk)})
            context["schedule_query"] = urlencode({"kind": DocumentSync.kind, "payload": payload})
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("Last sync"))
    def status(self, source: Any) -> str:
        return gettext(source.sync_status)

    @admin.display(description=gettext_lazy("Error"))
    def shown_error(self, source: Any) -> str:
        return source.job_error_message or "–"

    @admin.display(description=gettext_lazy("Items"))
    def items(self, source: ContentSource) -> Any:
        return source.counts.get("listed", "–")

    @admin.display(description=gettext_lazy("Errors"))
    def errors(self, source: ContentSource) -> Any:
        return source.counts.get("failed", "–")

    @admin.display(description=gettext_lazy("Counts"))
    def shown_counts(self, source: ContentSource) -> str:
        counts = source.counts
        if not counts:
            return "–"
        shown = gettext("%(listed)s listed, %(new)s new, %(changed)s changed, %(gone)s gone, %(failed)s with an error")
        cut = "" if counts["is_complete"] else " · " + gettext("the listing was cut, so no item counts as gone")
        return str(shown % counts) + cut

    @post_action(label=gettext_lazy("Sync"), permission=Permission.DATASETS_MANAGE)
    def sync(self, request: HttpRequest, source: ContentSource, reason: str) -> str:
        job = start_sync(source_id=source.pk, is_rate_limited=True).job_id
        return gettext("The sync is the job %(job)s.") % {"job": job}

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The source and the list of its items are deleted. Its documents stay."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, source: ContentSource, reason: str) -> HttpResponse:
        delete_source(source_id=source.pk, reason=reason)
        self.message_user(request, gettext("%(source)s is deleted.") % {"source": source})
        return HttpResponseRedirect(reverse("admin:document_sources_contentsource_changelist"))


@admin.register(SourceItem, site=console_site)
class SourceItemAdmin(ReadOnlyAdmin):
    """Admin page of the items of sources, with their errors."""

    empty_title = gettext_lazy("No items yet")
    empty_text = gettext_lazy("The first sync of a document source lists its items.")
    view_permission = Permission.DATASETS_VIEW
    list_display = ("key", "source", "state", "error_code", "changed_at")
    list_filter = ("state",)
    list_select_related = ("source",)
    search_fields = ("key",)
    ordering = ("-id",)
    fields = ("source", "key", "version", "state", "error_code", "error_message", "shown_document", "changed_at")
    readonly_fields = ("shown_document",)

    @admin.display(description=gettext_lazy("Document"))
    def shown_document(self, item: SourceItem) -> SafeString | str:
        document = Document.objects.filter(pk=item.document_id).first() if item.document_id else None
        if document is None:
            return "–"
        url = reverse("admin:retrieval_document_change", args=[document.pk])
        return format_html('<a class="console-link" href="{}">{}</a>', url, document)
