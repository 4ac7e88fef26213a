"""Console pages that start operations over a dataset."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext, gettext_lazy

from tenants.exceptions import DomainError
from tenants.models import Tenant
from workloads.documents.indexing.dataset_operations import StartedOperation, reindex_dataset
from workloads.documents.indexing.forms import ReindexForm
from workloads.documents.models import Dataset, Document

_REINDEX_NOTE = gettext_lazy(
    "Each document serves searches with its old chunks until its new ones are complete; until then both count as "
    "vector space."
)


def tenant_of(row: Dataset | Document) -> Tenant:
    """Return the row's tenant with the plan that limits it."""
    return Tenant.objects.select_related("plan").get(pk=row.tenant_id)


def show_operation(admin: Any, request: HttpRequest, started: StartedOperation) -> HttpResponse:
    """Redirect to the job of an operation, or to the datasets if the console has no pages of jobs."""
    message = gettext("A job changes %(documents)s documents; its page shows the progress.")
    admin.message_user(request, message % {"documents": started.documents})
    try:
        url = reverse("admin:scheduling_job_change", args=[started.job_id])
    except NoReverseMatch:
        url = reverse("admin:retrieval_dataset_changelist")
    return HttpResponseRedirect(url)


class ReindexPage:
    """Mixin of the admin page of documents: a form that re-indexes a dataset."""

    def reindex_view(self: Any, request: HttpRequest) -> HttpResponse:
        """Show the form that re-indexes a dataset's documents; on POST, start it."""
        form = ReindexForm(request.POST if request.method == "POST" else None, initial=request.GET.dict())
        if form.is_valid():
            asked, dataset = form.cleaned_data, form.cleaned_data["dataset"]
            try:
                started = reindex_dataset(
                    tenant=tenant_of(dataset),
                    dataset_id=dataset.pk,
                    everything=asked["everything"],
                    discard_edits=asked["discard_edits"],
                    is_rate_limited=True,
                    reason=asked["reason"],
                )
            except DomainError as refusal:
                form.add_error("dataset", refusal.detail)
            else:
                return show_operation(self, request, started)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Re-index a dataset"),
            "opts": self.opts,
            "form": form,
            "note": _REINDEX_NOTE,
            "submit": gettext("Re-index"),
        }
        return TemplateResponse(request, "files/admin/upload.html", context)
