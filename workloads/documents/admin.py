"""Admin pages of datasets, with a page to try out a search."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.limits.declared import SEARCH, costs
from tenants.models import Tenant
from tenants.requests.features import require_feature
from tenants.settings.schema import settings_of
from workloads.documents.embedding_models import find_models
from workloads.documents.models import Dataset
from workloads.documents.reembedding.service import ReembeddingPlan, plan_reembedding, reembed_dataset
from workloads.documents.reranking import Reranking
from workloads.documents.search import MAX_QUERY_LENGTH, MAX_TOP_K, SearchMode, search_dataset
from workloads.documents.search_results import Hit, Timings
from workloads.documents.service import SPLITTING, create_dataset, delete_dataset, update_dataset
from workloads.documents.tenant_settings import CHUNK_OVERLAP_TOKENS, CHUNK_TOKENS, default_model

_SEARCH = ("text_weight", "min_score", "is_reranked", "metadata_fields")
_SETTINGS = ("name", "description", *SPLITTING, "home_region", "allowed_regions", *_SEARCH)
_FIXED = ("embedding_model", "next_model", "created_at")


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


class ReembedForm(forms.Form):
    """Form that re-embeds a dataset: by which model, with what that costs, and why."""

    model = forms.ChoiceField(label=gettext_lazy("Embedding model"))
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500, required=False)

    def __init__(self, dataset: Dataset, *args: Any) -> None:
        super().__init__(*args)
        plans = [plan_reembedding(dataset, name) for name in find_models(dataset.tenant_id)]
        field: Any = self.fields["model"]
        field.choices = [(plan.model, _describe_plan(plan)) for plan in plans]


def _describe_plan(plan: ReembeddingPlan) -> str:
    text = gettext("%(model)s: %(done)s of %(chunks)s chunks, about %(tokens)s tokens") % {
        "model": plan.model,
        "done": plan.chunks_done,
        "chunks": plan.chunks,
        "tokens": plan.estimated_tokens,
    }
    if plan.estimated_price is None:
        return text
    return text + gettext(", price about %(price)s") % {"price": plan.estimated_price}


@admin.register(Dataset, site=console_site)
class DatasetAdmin(TenantScopedAdmin):
    """Admin page of datasets and their settings. Files are uploaded on the page of documents."""

    empty_title = gettext_lazy("No datasets yet")
    empty_text = gettext_lazy(
        "A dataset holds documents that are searched together. Add one above, then upload files to it."
    )
    view_permission = Permission.DATASETS_VIEW
    add_permission = change_permission = Permission.DATASETS_MANAGE
    list_display = ("name", "description", "chunking", "chunk_size", "size_unit", "embedding_model", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    post_actions = ("delete_empty",)
    change_form_before_template = "retrieval/admin/dataset_links.html"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        tenant = self.access(request).tenant
        defaults = settings_of(tenant) if tenant else {}
        chosen = {"chunk_size": CHUNK_TOKENS.key, "chunk_overlap": CHUNK_OVERLAP_TOKENS.key}
        initial = {name: defaults[key] for name, key in chosen.items() if key in defaults}
        return initial | ({"embedding_model": default_model(defaults)} if defaults else {})

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "embedding_model":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        names = find_models(tenant.pk if (tenant := self.access(request).tenant) else None)
        return forms.ChoiceField(label=db_field.verbose_name, choices=[(name, name) for name in names], required=False)

    def get_fields(self, request: HttpRequest, obj: Dataset | None = None) -> Any:
        if obj is not None:
            return (*_SETTINGS, *_FIXED)
        return (*(("tenant",) if self.access(request).tenant is None else ()), *_SETTINGS, "embedding_model")

    def get_readonly_fields(self, request: HttpRequest, obj: Dataset | None = None) -> Any:
        return _FIXED if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Dataset, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_dataset(dataset=obj, **{name: values[name] for name in form.changed_data})
            return
        tenant = self.access(request).tenant or values["tenant"]
        obj.pk = create_dataset(tenant=tenant, **{name: values[name] for name in (*_SETTINGS, "embedding_model")}).pk

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The dataset is deleted. It must have no documents."),
        permission=Permission.DATASETS_MANAGE,
        is_danger=True,
    )
    def delete_empty(self, request: HttpRequest, dataset: Dataset, reason: str) -> HttpResponse:
        delete_dataset(dataset=dataset)
        self.message_user(request, gettext("%(dataset)s is deleted.") % {"dataset": dataset})
        return HttpResponseRedirect(reverse("admin:retrieval_dataset_changelist"))

    def get_urls(self) -> list[URLPattern]:
        search = self.guard(require_safe(self.search_view), Permission.DATASETS_VIEW)
        reembed = self.guard(self.reembed_view, Permission.DATASETS_MANAGE)
        return [
            path("<path:object_id>/search/", search, name="retrieval_dataset_search"),
            path("<path:object_id>/reembed/", reembed, name="retrieval_dataset_reembed"),
            *super().get_urls(),
        ]

    @costs(SEARCH)
    def reembed_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the models with what re-embedding by each costs; on POST, submit the job."""
        dataset = self.get_object(request, object_id)
        if dataset is None:
            raise Http404
        form = ReembedForm(dataset, request.POST if request.method == "POST" else None)
        if form.is_valid():
            model = form.cleaned_data["model"]
            tenant = Tenant.objects.select_related("plan").get(pk=dataset.tenant_id)
            try:
                reembed_dataset(
                    tenant=tenant,
                    dataset=dataset,
                    model=model,
                    is_rate_limited=True,
                    reason=form.cleaned_data["reason"],
                )
            except DomainError as refusal:
                form.add_error("model", refusal.detail)
            else:
                self.message_user(request, gettext("A job embeds the dataset by %(model)s.") % {"model": model})
                return HttpResponseRedirect(reverse("admin:retrieval_dataset_change", args=[dataset.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Re-embed %(dataset)s") % {"dataset": dataset},
            "opts": self.opts,
            "form": form,
            "note": gettext("The old vectors serve searches until every chunk has its new one."),
            "submit": gettext("Re-embed"),
        }
        return TemplateResponse(request, "files/admin/upload.html", context)

    @costs(SEARCH)
    def search_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Search the dataset and show the matching chunks.

        The query is in the URL, because a search changes nothing.
        """
        dataset = self.get_object(request, object_id)
        if dataset is None:
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
