"""Admin page of chunks: list, text, versions, and their changes by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe
from unfold.widgets import UnfoldAdminTextareaWidget

from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.limits.declared import HEAVY, costs
from workloads.documents.chunks import service
from workloads.documents.chunks.api.views import text_response
from workloads.documents.chunks.queries import (
    ChunkState,
    extracted_text,
    find_chunks,
    find_versions,
    mergeable_chunk,
    narrow_chunks,
)
from workloads.documents.chunks.rules import MAX_CHUNK_CHARACTERS
from workloads.documents.indexing.queries import get_document
from workloads.documents.models import Chunk

_EXCERPT_WORDS = 20
_VERSIONS = "document_chunks/admin/versions.html"
_STATES = {
    ChunkState.ON: gettext_lazy("Switched on"),
    ChunkState.OFF: gettext_lazy("Switched off"),
    ChunkState.EDITED: gettext_lazy("Edited"),
    ChunkState.EMBEDDING: gettext_lazy("Waits for its vector"),
    ChunkState.SUMMARY: gettext_lazy("Summary by a model"),
}


def _text_field(label: Any) -> forms.CharField:
    # A stripped text would lose the indentation of its first line.
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 12})
    return forms.CharField(label=label, strip=False, max_length=MAX_CHUNK_CHARACTERS, widget=widget)


class ChunkForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Form of a chunk: its text, and whether searches find it."""

    text = _text_field(gettext_lazy("Text"))


class NewChunkForm(forms.Form):
    """Form of a chunk that is added behind another one."""

    text = _text_field(gettext_lazy("Text"))


class SplitForm(forms.Form):
    """Form that splits a chunk before the first occurrence of some words."""

    words = forms.CharField(
        label=gettext_lazy("First words of the second chunk"), strip=False, max_length=MAX_CHUNK_CHARACTERS
    )


class RestoreForm(forms.Form):
    """Form that restores a version."""

    number = forms.IntegerField(label=gettext_lazy("Version"), min_value=1, max_value=2**31 - 1)


class ChunkStateFilter(admin.SimpleListFilter):
    """Filter of chunks by their state."""

    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state.value, str(label)) for state, label in _STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        state = self.value()
        return narrow_chunks(queryset, state=state) if state in set(ChunkState) else queryset


@admin.register(Chunk, site=console_site)
class ChunkAdmin(KeysetAdmin):
    """Admin page of the chunks that serve searches, and of those that are switched off."""

    empty_title = gettext_lazy("No chunks yet")
    empty_text = gettext_lazy("Documents are split into chunks during indexing. Upload one to a dataset.")
    view_permission = Permission.DATASETS_VIEW
    change_permission = Permission.DATASETS_MANAGE  # type: ignore[assignment] # the list is read-only, not the page
    form = ChunkForm
    list_display = ("excerpt", "document", "position", "is_summary", "is_enabled", "is_edited", "version")
    list_select_related = ("document",)
    list_filter = (ChunkStateFilter,)
    search_fields = ("text",)
    search_help_text = gettext_lazy("Words of the text or the headings")
    change_form_before_template = "document_chunks/admin/chunk_links.html"
    readonly_fields = (
        *("document", "dataset", "location", "is_summary", "is_edited", "version", "has_vector", "extracted"),
    )
    fields = ("text", "is_enabled", *readonly_fields)
    post_actions = ("embed", "merge")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        chunks = find_chunks()
        return chunks.select_related("tenant") if self.access(request).sees_all_tenants else chunks

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the chunks that have all words of the search term."""
        return narrow_chunks(queryset, words=search_term[:200]), False

    def is_look_bounded(self, request: HttpRequest) -> bool:
        """Return whether the page has a search, for which no index exists."""
        return bool(request.GET.get("q"))

    def rows_of_look(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the dataset or document that the URL names."""
        for name in ("dataset", "document"):
            if key := parse_uuid(request.GET.get(f"{name}__id__exact", "")):
                rows = rows.filter(**{f"{name}_id": key})
        return super().rows_of_look(request, rows)

    def save_model(self, request: HttpRequest, obj: Chunk, form: Any, change: bool) -> None:
        service.update_chunk(chunk_id=obj.pk, **{name: form.cleaned_data[name] for name in form.changed_data})

    @admin.display(description=gettext_lazy("Text"))
    def excerpt(self, chunk: Chunk) -> str:
        return Truncator(chunk.text).words(_EXCERPT_WORDS)

    @admin.display(description=gettext_lazy("Summary"), boolean=True)
    def is_summary(self, chunk: Chunk) -> bool:
        return chunk.is_summary

    @admin.display(description=gettext_lazy("Vector is of this text"), boolean=True)
    def has_vector(self, chunk: Chunk) -> bool:
        return chunk.vector_digest is not None

    @admin.display(description=gettext_lazy("Extracted text"))
    def extracted(self, chunk: Chunk) -> str:
        return extracted_text(chunk) or gettext("Added by hand")

    @post_action(label=gettext_lazy("Embed again"), permission=Permission.DATASETS_MANAGE)
    def embed(self, request: HttpRequest, chunk: Chunk, reason: str) -> str:
        service.embed_chunk(chunk_id=chunk.pk, reason=reason)
        return gettext("A job computes the vector of the chunk again.")

    @post_action(
        label=gettext_lazy("Merge with the next"),
        consequence=gettext_lazy("The text of the next chunk is appended to this one, and the next chunk is deleted."),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_danger=True,
        is_offered=lambda chunk: mergeable_chunk(chunk) is not None,
    )
    def merge(self, request: HttpRequest, chunk: Chunk, reason: str) -> str:
        service.merge_chunk(chunk_id=chunk.pk, reason=reason)
        return gettext("The next chunk is merged into this one.")

    def get_urls(self) -> list[URLPattern]:
        text = self.guard(require_safe(self.text_view), Permission.DATASETS_VIEW)
        views = {"add_after": self.add_after_view, "split": self.split_view, "restore": self.restore_view}
        return [
            path("of/<uuid:document_id>/text/", text, name="retrieval_chunk_text"),
            *(
                path(
                    f"<uuid:object_id>/{name.replace('_', '-')}/",
                    self.guard(view, Permission.DATASETS_MANAGE),
                    name=f"retrieval_chunk_{name}",
                )
                for name, view in views.items()
            ),
            *super().get_urls(),
        ]

    @costs(HEAVY)
    def text_view(self, request: HttpRequest, document_id: UUID) -> HttpResponseBase:
        """Download the text of a document as its chunks have it now."""
        try:
            document = get_document(document_id)
        except DomainError as error:
            raise Http404 from error
        return text_response(document, partial(require_still_authorized, request, Permission.DATASETS_VIEW))

    def add_after_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Show the form of a chunk behind this one; on POST, add it."""
        chunk = self._chunk(request, object_id)
        form = NewChunkForm(request.POST or None)

        def add() -> Chunk:
            return service.add_chunk(after_id=chunk.pk, text=form.cleaned_data["text"])

        return self._form_view(request, form, add, "text", title=gettext("Add a chunk"), submit=gettext("Add"))

    def split_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Show the form that splits this chunk; on POST, split it."""
        chunk = self._chunk(request, object_id)
        form = SplitForm(request.POST or None)

        def split() -> Chunk:
            words = form.cleaned_data["words"].replace("\r\n", "\n")
            return service.split_chunk(chunk_id=chunk.pk, offset=chunk.text.find(words), version=chunk.version)[0]

        title, submit = gettext("Split a chunk"), gettext("Split")
        return self._form_view(request, form, split, "words", title=title, submit=submit, note=chunk.text)

    def restore_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Show the earlier texts of this chunk; on POST, give it one of them again."""
        chunk = self._chunk(request, object_id)
        form = RestoreForm(request.POST or None)

        def restore() -> Chunk:
            return service.restore_chunk(chunk_id=chunk.pk, number=form.cleaned_data["number"])

        context = {"title": gettext("Versions of a chunk"), "versions": find_versions(chunk).order_by("-number")}
        return self._form_view(request, form, restore, "number", template=_VERSIONS, chunk=chunk, **context)

    def _chunk(self, request: HttpRequest, object_id: UUID) -> Chunk:
        chunk: Chunk | None = self.get_object(request, str(object_id))
        if chunk is None:
            raise Http404
        return chunk

    def _form_view(
        self,
        request: HttpRequest,
        form: forms.Form,
        act: Callable[[], Chunk],
        field: str,
        *,
        template: str = "files/admin/upload.html",
        **context: Any,
    ) -> HttpResponse:
        """Show a form; if it is valid, act and go to the chunk's page. A refusal is shown at the field."""
        if form.is_valid():
            try:
                with transaction.atomic():
                    changed = act()
            except DomainError as refusal:
                form.add_error(field, refusal.detail)
            else:
                self.message_user(request, gettext("The chunk is changed. A job computes its vector."))
                return HttpResponseRedirect(reverse("admin:retrieval_chunk_change", args=[changed.pk]))
        shown = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, **context}
        return TemplateResponse(request, template, shown)
