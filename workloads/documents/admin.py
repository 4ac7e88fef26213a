"""Admin pages of datasets, with a page to try out a search."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.limits.declared import SEARCH, costs
from tenants.requests.features import require_feature
from tenants.settings.schema import settings_of
from workloads.documents.embedding_models import list_models
from workloads.documents.indexing.dataset_operations import delete_with_documents, enable_documents
from workloads.documents.indexing.operation_pages import show_operation, tenant_of
from workloads.documents.models import Dataset, DatasetState
from workloads.documents.queries import count_contents, has_documents
from workloads.documents.reembedding.page import ReembedPage
from workloads.documents.reranking import Reranking
from workloads.documents.search import MAX_QUERY_LENGTH, MAX_TOP_K, SearchMode, search_dataset
from workloads.documents.search_results import Hit, Timings
from workloads.documents.service import (
    EXTRACTION,
    SPLITTING,
    archive_dataset,
    create_dataset,
    delete_dataset,
    unarchive_dataset,
    update_dataset,
)
from workloads.documents.tenant_settings import CHUNK_OVERLAP_TOKENS, CHUNK_TOKENS, default_model
from workloads.model_endpoints.lookup import chat_model_names

_SEARCH = ("text_weight", "min_score", "is_reranked", "metadata_fields")
_REGIONS = ("home_region", "allowed_regions")
_SETTINGS = ("name", "description", *EXTRACTION, *SPLITTING, "summary_model", *_REGIONS, *_SEARCH)
_FIXED = ("embedding_model", "next_model", "state", "created_at")


class SearchForm(forms.Form):
    """Form of a search in a dataset."""

    query = forms.CharField(label=gettext_lazy("Query"), max_length=MAX_QUERY_LENGTH)
    mode = forms.ChoiceField(
        label=gettext_lazy("Mode"),
        choices=[(mode.value, mode.value) for mode in SearchMode],
        initial=SearchMode.HYBRID.value,
    )
    top_k = forms.IntegerField(min_value=1, max_value=MAX_TOP_K, initial=5, label=gettext_lazy("Results"))
    min_score = forms.FloatField(min_value=0, max_value=1, required=False, label=gettext_lazy("Least score"))
    filter = forms.JSONField(required=False, label=gettext_lazy("Filter"), widget=forms.TextInput)
    rerank = forms.NullBooleanField(required=False, label=gettext_lazy("Re-rank"))


@admin.register(Dataset, site=console_site)
class DatasetAdmin(ReembedPage, TenantScopedAdmin):
    """Admin page of datasets and their settings. Files are uploaded on the page of documents."""

    empty_title = gettext_lazy("No datasets yet")
    empty_text = gettext_lazy(
        "A dataset holds documents that are searched together. Add one above, then upload files to it."
    )
    view_permission = Permission.DATASETS_VIEW
    add_permission = change_permission = Permission.DATASETS_MANAGE
    list_display = ("name", "state", "description", *SPLITTING[:3], "embedding_model", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    list_filter = ("state",)
    post_actions = ("archive", "unarchive", "disable_documents", "enable_documents", "delete")
    change_form_before_template = "retrieval/admin/dataset_links.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        datasets = Dataset.every.order_by(*self.ordering)
        return datasets.select_related("tenant") if self.access(request).sees_all_tenants else datasets

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        tenant = self.access(request).tenant
        defaults = settings_of(tenant) if tenant else {}
        chosen = {"chunk_size": CHUNK_TOKENS.key, "chunk_overlap": CHUNK_OVERLAP_TOKENS.key}
        initial = {name: defaults[key] for name, key in chosen.items() if key in defaults}
        return initial | ({"embedding_model": default_model(defaults)} if defaults else {})

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "embedding_model":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        names = list_models(tenant.pk if (tenant := self.access(request).tenant) else None)
        return forms.ChoiceField(
            label=db_field.verbose_name,
            choices=[(name, name) for name in names],
            required=False,
            widget=UnfoldAdminSelectWidget,
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form with the chat models of the tenant, and the one that the dataset names, whatever it is."""
        form = super().get_form(request, obj, change=change, **kwargs)
        tenant, current = self.access(request).tenant, obj.summary_model if obj else ""
        tenant_id = obj.tenant_id if obj else tenant.pk if tenant else None
        names = dict.fromkeys(["", current, *(chat_model_names(tenant_id) if tenant_id else ())])
        if field := form.base_fields.get("summary_model"):
            field.widget = UnfoldAdminSelectWidget(choices=[(name, name or gettext("none")) for name in names])
        return form

    def get_fields(self, request: HttpRequest, obj: Dataset | None = None) -> Any:
        if obj is not None:
            return (*_SETTINGS, *_FIXED)
        return (*(("tenant",) if self.access(request).tenant is None else ()), *_SETTINGS, "embedding_model")

    def get_readonly_fields(self, request: HttpRequest, obj: Dataset | None = None) -> Any:
        if obj is not None and obj.state == DatasetState.DELETING:
            return self.get_fields(request, obj)
        return _FIXED if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Dataset, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_dataset(dataset=obj, **{name: values[name] for name in form.changed_data})
            return
        tenant = self.access(request).tenant or values["tenant"]
        obj.pk = create_dataset(tenant=tenant, **{name: values[name] for name in (*_SETTINGS, "embedding_model")}).pk

    @post_action(
        label=gettext_lazy("Archive"),
        consequence=gettext_lazy("It stays searchable, and takes no documents and no re-indexing until unarchived."),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_offered=lambda dataset: dataset.state == DatasetState.ACTIVE,
    )
    def archive(self, request: HttpRequest, dataset: Dataset, reason: str) -> str:
        archive_dataset(dataset_id=dataset.pk, reason=reason)
        return gettext("%(dataset)s is archived.") % {"dataset": dataset}

    @post_action(
        label=gettext_lazy("Activate"),
        consequence=gettext_lazy("It takes documents again. A deletion ends, and what is left is kept."),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_offered=lambda dataset: dataset.state != DatasetState.ACTIVE,
    )
    def unarchive(self, request: HttpRequest, dataset: Dataset, reason: str) -> str:
        unarchive_dataset(dataset_id=dataset.pk, reason=reason)
        return gettext("%(dataset)s takes documents again.") % {"dataset": dataset}

    @post_action(
        label=gettext_lazy("Disable documents"),
        consequence=lambda dataset: _describe(dataset, gettext("No search finds its documents; they are kept.")),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_offered=lambda dataset: dataset.state != DatasetState.DELETING,
    )
    def disable_documents(self, request: HttpRequest, dataset: Dataset, reason: str) -> HttpResponse:
        return self._enable(request, dataset, reason, is_enabled=False)

    @post_action(
        label=gettext_lazy("Enable documents"),
        consequence=lambda dataset: _describe(dataset, gettext("Searches find all its documents.")),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_offered=lambda dataset: dataset.state != DatasetState.DELETING,
    )
    def enable_documents(self, request: HttpRequest, dataset: Dataset, reason: str) -> HttpResponse:
        return self._enable(request, dataset, reason, is_enabled=True)

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=lambda dataset: _describe(
            dataset, gettext("The dataset is deleted for ever, with its documents, files, chunks and evaluations.")
        ),
        permission=Permission.DATASETS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, dataset: Dataset, reason: str) -> HttpResponse:
        if has_documents(dataset):
            started = delete_with_documents(
                tenant=tenant_of(dataset), dataset_id=dataset.pk, is_rate_limited=True, reason=reason
            )
            return show_operation(self, request, started)
        delete_dataset(dataset_id=dataset.pk, reason=reason)
        self.message_user(request, gettext("%(dataset)s is deleted.") % {"dataset": dataset})
        return HttpResponseRedirect(reverse("admin:retrieval_dataset_changelist"))

    def _enable(self, request: HttpRequest, dataset: Dataset, reason: str, *, is_enabled: bool) -> HttpResponse:
        started = enable_documents(
            tenant=tenant_of(dataset),
            dataset_id=dataset.pk,
            is_enabled=is_enabled,
            is_rate_limited=True,
            reason=reason,
        )
        return show_operation(self, request, started)

    def get_urls(self) -> list[URLPattern]:
        search = self.guard(require_safe(self.search_view), Permission.DATASETS_VIEW)
        reembed = self.guard(self.reembed_view, Permission.DATASETS_MANAGE)
        return [
            path("<path:object_id>/search/", search, name="retrieval_dataset_search"),
            path("<path:object_id>/reembed/", reembed, name="retrieval_dataset_reembed"),
            *super().get_urls(),
        ]

    @costs(SEARCH)
    def search_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Search the dataset and show the matching chunks.

        The query is in the URL, because a search changes nothing.
        """
        dataset = self.get_object(request, object_id)
        if dataset is None or dataset.state == DatasetState.DELETING:
            raise Http404
        form = SearchForm(request.GET) if "query" in request.GET else SearchForm()
        hits: list[Hit] | None = None
        timings, reranking = Timings(), Reranking()
        if form.is_bound and form.is_valid():
            asked = form.cleaned_data
            try:
                require_feature("previews")
                hits = search_dataset(
                    dataset=dataset,
                    query=asked["query"],
                    top_k=asked["top_k"],
                    mode=SearchMode(asked["mode"]),
                    min_score=asked["min_score"],
                    metadata_filter=asked["filter"],
                    is_reranked=asked["rerank"],
                    timings=timings,
                    reranking=reranking,
                )
            except FieldInvalidError as refusal:
                form.add_error("filter", refusal.detail)
            except DomainError as refusal:
                form.add_error("mode", refusal.detail)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Search in %(dataset)s") % {"dataset": dataset},
            "opts": self.opts,
            "dataset": dataset,
            "form": form,
            "hits": hits,
            "milliseconds": timings.parts,
            "reranking": reranking,
        }
        return TemplateResponse(request, "retrieval/admin/search.html", context)


def _describe(dataset: Any, consequence: str) -> str:
    """Return what an operation does, with the counts of the rows that it concerns."""
    # Read once for all actions of a page.
    if not hasattr(dataset, "contents"):
        dataset.contents = count_contents(dataset)
    counts = gettext("Documents: %(documents)s, of these disabled: %(disabled)s. Chunks: %(chunks)s.")
    return f"{consequence} {counts % dataset.contents}"
