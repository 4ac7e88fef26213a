"""Admin pages of documents: upload, progress, and actions on one document."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from workloads.documents.chunks.queries import count_changed
from workloads.documents.indexing.forms import DocumentUploadForm
from workloads.documents.indexing.list_filters import DatasetFilter, ShownStatusFilter
from workloads.documents.indexing.metadata_page import MetadataPage
from workloads.documents.indexing.operation_pages import ReindexPage, tenant_of
from workloads.documents.indexing.preview_page import MAX_PREVIEW_BODY, preview_page
from workloads.documents.indexing.queries import find_documents
from workloads.documents.indexing.reindexing import reindex_document
from workloads.documents.indexing.service import (
    delete_document,
    enable_document,
    pause_document,
    resume_document,
    retry_document,
)
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.models import Dataset, Document, DocumentStatus

_PHASES = ("created_at", "parsing_at", "cleaning_at", "splitting_at", "indexing_at", "completed_at", "error_at")
_PROGRESS = ("shown_status", "chunks", "shown_error", "shown_warnings")
_FACTS = ("given_encoding", "encoding", "pages", "pages_without_text", "pages_recognized")
_ENDED_OR_PAUSED = ("completed", "error", "paused")
_UPLOAD_NOTE = gettext_lazy(
    "All files are accepted or none. One job indexes each; a file whose content is already in the dataset is not "
    "indexed again."
)


@admin.register(Document, site=console_site)
class DocumentAdmin(MetadataPage, ReindexPage, ReadOnlyAdmin):
    """Admin page of documents with their progress. Documents are changed by actions only."""

    empty_title = gettext_lazy("No documents yet")
    empty_text = gettext_lazy("Upload files to a dataset above; each becomes a document and is indexed by a job.")
    view_permission = Permission.DATASETS_VIEW
    list_display = ("name", "dataset", "shown_status", "chunks", "shown_error_code", "created_at")
    list_select_related = ("dataset",)
    list_filter = (ShownStatusFilter, DatasetFilter, "is_enabled")
    list_before_template = "document_indexing/admin/upload_link.html"
    change_form_before_template = "document_chunks/admin/document_links.html"
    search_fields = ("name",)
    ordering = ("-id",)
    post_actions = (
        *("retry", "pause", "resume", "reindex", "reindex_discarding", "refetch"),
        *("disable", "enable", "delete"),
    )
    readonly_fields = (*_PROGRESS, "job")
    fieldsets = (
        (None, {"fields": ("name", "dataset", "is_enabled", *_PROGRESS, "metadata", "job")}),
        (gettext_lazy("Phases"), {"fields": _PHASES}),
        (gettext_lazy("File"), {"fields": ("source_url", "content_type", "size_bytes", "sha256", *_FACTS)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        documents = find_documents()
        return documents.select_related("tenant") if self.access(request).sees_all_tenants else documents

    @admin.display(description=gettext_lazy("Status"), ordering="shown_status")
    def shown_status(self, document: Any) -> str:
        if document.warnings and document.shown_status == DocumentStatus.COMPLETED:
            return gettext("completed with warnings")
        return gettext(document.shown_status)

    @admin.display(description=gettext_lazy("Warnings"))
    def shown_warnings(self, document: Document) -> SafeString | str:
        return format_html_join(mark_safe("<br>"), "{}", ((warning,) for warning in document.warnings)) or "–"

    @admin.display(description=gettext_lazy("Error"))
    def shown_error_code(self, document: Any) -> str:
        return document.shown_error_code or "–"

    @admin.display(description=gettext_lazy("Error"))
    def shown_error(self, document: Any) -> str:
        return f"{document.shown_error_code}: {document.shown_error_message}" if document.shown_error_code else "–"

    @admin.display(description=gettext_lazy("Chunks"))
    def chunks(self, document: Document) -> str:
        total = "?" if document.chunks_total is None else document.chunks_total
        kept = (
            gettext("; %(kept_chunks)s old ones serve searches") % {"kept_chunks": document.kept_chunks}
            if document.kept_chunks
            else ""
        )
        return f"{document.chunks_done} / {total}{kept}"

    @admin.display(description=gettext_lazy("Job"))
    def job(self, document: Document) -> SafeString | str:
        try:
            url = reverse("admin:scheduling_job_change", args=[document.job_id])
        except NoReverseMatch:  # a console without the scheduler's pages
            return str(document.job_id)
        return format_html('<a class="console-link" href="{}">{}</a>', url, document.job_id)

    @post_action(
        label=gettext_lazy("Retry"),
        consequence=gettext_lazy("The document is indexed again. Passages that are stored already are kept."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_offered=lambda document: document.shown_status == "error",
    )
    def retry(self, request: HttpRequest, document: Document, reason: str) -> str:
        retry_document(document_id=document.pk, reason=reason)
        return gettext("%(document)s is indexed again.") % {"document": document}

    @post_action(
        label=gettext_lazy("Pause"),
        consequence=gettext_lazy("Indexing stops at its next safe point and continues from there when resumed."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_offered=lambda document: document.shown_status not in _ENDED_OR_PAUSED,
    )
    def pause(self, request: HttpRequest, document: Document, reason: str) -> str:
        pause_document(document_id=document.pk, reason=reason)
        return gettext(
            "%(document)s pauses after its current chunks, or at once if it waits; other documents continue."
        ) % {"document": document}

    @post_action(
        label=gettext_lazy("Resume"),
        permission=Permission.DATASETS_MANAGE,
        is_offered=lambda document: document.shown_status == "paused",
    )
    def resume(self, request: HttpRequest, document: Document, reason: str) -> str:
        resume_document(document_id=document.pk, reason=reason)
        return gettext("%(document)s is resumed.") % {"document": document}

    @post_action(
        label=gettext_lazy("Re-index"),
        consequence=gettext_lazy(
            "The document is extracted and embedded again. The present passages are served until then."
        ),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
    )
    def reindex(self, request: HttpRequest, document: Document, reason: str) -> str:
        reindex_document(tenant=tenant_of(document), document_id=document.pk, is_rate_limited=True, reason=reason)
        return gettext("%(document)s is re-indexed; its old chunks serve searches until then.") % {"document": document}

    @post_action(
        label=gettext_lazy("Re-index, discard changes"),
        consequence=gettext_lazy("Chunks that were edited or switched off by hand are replaced by new ones."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda document: count_changed([document], dataset_id=document.dataset_id) > 0,
    )
    def reindex_discarding(self, request: HttpRequest, document: Document, reason: str) -> str:
        reindex_document(
            tenant=tenant_of(document),
            document_id=document.pk,
            discard_edits=True,
            is_rate_limited=True,
            reason=reason,
        )
        return gettext("%(document)s is re-indexed; its old chunks serve searches until then.") % {"document": document}

    @post_action(
        label=gettext_lazy("Fetch again"),
        consequence=gettext_lazy("The document is fetched from its address again and indexed."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_offered=lambda document: document.source_url,
    )
    def refetch(self, request: HttpRequest, document: Document, reason: str) -> str:
        reindex_document(
            tenant=tenant_of(document), document_id=document.pk, refetch=True, is_rate_limited=True, reason=reason
        )
        return gettext("%(document)s is fetched and re-indexed; its old chunks serve searches until then.") % {
            "document": document
        }

    @post_action(
        label=gettext_lazy("Disable"),
        consequence=gettext_lazy("No search finds the document; it is kept."),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_offered=lambda document: document.is_enabled,
    )
    def disable(self, request: HttpRequest, document: Document, reason: str) -> str:
        enable_document(document_id=document.pk, is_enabled=False, reason=reason)
        return gettext("%(document)s is disabled.") % {"document": document}

    @post_action(
        label=gettext_lazy("Enable"),
        permission=Permission.DATASETS_MANAGE,
        is_offered=lambda document: not document.is_enabled,
    )
    def enable(self, request: HttpRequest, document: Document, reason: str) -> str:
        enable_document(document_id=document.pk, is_enabled=True)
        return gettext("%(document)s is enabled.") % {"document": document}

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The document and its passages are deleted for ever."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, document: Document, reason: str) -> HttpResponse:
        delete_document(document_id=document.pk, reason=reason)
        self.message_user(request, gettext("%(document)s is deleted with its chunks.") % {"document": document})
        return HttpResponseRedirect(reverse("admin:retrieval_document_changelist"))

    def get_urls(self) -> list[URLPattern]:
        upload = self.guard(self.upload_view, Permission.DATASETS_MANAGE, takes_files=True)
        reindex = self.guard(self.reindex_view, Permission.DATASETS_MANAGE)
        preview = self.guard(partial(preview_page, self), Permission.DATASETS_MANAGE, takes_files=True)
        preview.max_body_bytes = MAX_PREVIEW_BODY  # type: ignore[attr-defined]
        metadata = self.guard(self.metadata_view, Permission.DATASETS_MANAGE)
        return [
            path("preview/<uuid:dataset_id>/", preview, name="retrieval_document_preview"),
            path("upload/", upload, name="retrieval_document_upload"),
            path("reindex/", reindex, name="retrieval_document_reindex"),
            path("<uuid:object_id>/metadata/", metadata, name="retrieval_document_metadata"),
            *super().get_urls(),
        ]

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form that adds files to a dataset. On POST all files are added, or none, with the reasons."""
        if request.method == "POST":
            form = DocumentUploadForm(request.POST, {"files": request.FILES.getlist("files")})
            if form.is_valid() and self._has_taken(request, form):
                dataset = form.cleaned_data["dataset"]
                return HttpResponseRedirect(f"{reverse('admin:retrieval_document_changelist')}?dataset={dataset.pk}")
        else:
            form = DocumentUploadForm(initial={"dataset": request.GET.get("dataset")})
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Upload documents"),
            "opts": self.opts,
            "form": form,
            "note": _UPLOAD_NOTE,
        }
        return TemplateResponse(request, "files/admin/upload.html", context)

    def _has_taken(self, request: HttpRequest, form: DocumentUploadForm) -> bool:
        dataset: Dataset = form.cleaned_data["dataset"]
        tenant = tenant_of(dataset)
        try:
            upload = upload_documents(
                tenant=tenant,
                dataset=dataset,
                files=form.cleaned_data["files"],
                encoding=form.cleaned_data["encoding"],
                metadata=form.cleaned_data["metadata"],
                is_rate_limited=True,
            )
        except DomainError as refusal:
            for fault in refusal.errors or [{"field": "files", "detail": refusal.detail}]:
                form.add_error(fault["field"] if fault["field"] in form.fields else "files", fault["detail"])
            return False
        known = sum(file.is_duplicate for file in upload.files)
        self.message_user(
            request,
            gettext("%(new)s documents accepted, %(known)s already in the dataset.")
            % {"new": len(upload.files) - known, "known": known},
        )
        return True
