"""Console page that re-embeds a dataset by another model."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from tenants.exceptions import DomainError
from tenants.limits.declared import SEARCH, costs
from tenants.models import Tenant
from workloads.documents.embedding_models import list_models
from workloads.documents.models import Dataset
from workloads.documents.reembedding.service import ReembeddingPlan, plan_reembedding, reembed_dataset


class ReembedForm(forms.Form):
    """Form that re-embeds a dataset: by which model, with what that costs, and why."""

    model = forms.ChoiceField(label=gettext_lazy("Embedding model"))
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500, required=False)

    def __init__(self, dataset: Dataset, *args: Any) -> None:
        super().__init__(*args)
        plans = [plan_reembedding(dataset, name) for name in list_models(dataset.tenant_id)]
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


class ReembedPage:
    """Mixin of the admin page of datasets: a form with the models and what each costs."""

    @costs(SEARCH)
    def reembed_view(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
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
