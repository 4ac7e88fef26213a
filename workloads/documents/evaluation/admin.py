"""Admin pages of evaluations: the form that starts one, its results, and the comparison with an earlier one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.ids import id_of
from tenants.exceptions import DomainError
from tenants.models import Tenant
from workloads.documents.evaluation.models import MAX_NOTE_LENGTH, Evaluation
from workloads.documents.evaluation.queries import compare, find_evaluations, get_evaluation
from workloads.documents.evaluation.questions import MAX_FILE_BYTES
from workloads.documents.evaluation.service import delete_evaluation, start_evaluation
from workloads.documents.models import Chunk, Dataset, Document

# Earlier evaluations that a page offers to compare with.
_OFFERED = 20


class EvaluationForm(forms.Form):
    """Form of an evaluation: the dataset, the questions, and what was tried."""

    dataset: forms.ModelChoiceField[Dataset] = forms.ModelChoiceField(label=gettext_lazy("Dataset"), queryset=None)
    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=MAX_NOTE_LENGTH,
        required=False,
        help_text=gettext_lazy("What you want to compare, such as “chunks of 400 tokens”."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set here, since in the class `files` is a form's attribute of uploaded files.
        self.fields["file"] = forms.FileField(
            label=gettext("Questions"),
            help_text=gettext("CSV with the columns question, document and, if wanted, passage; at most 2,000 lines."),
        )
        field: Any = self.fields["dataset"]
        field.queryset = Dataset.objects.order_by("-id").select_related("tenant")


@admin.register(Evaluation, site=console_site)
class EvaluationAdmin(ReadOnlyAdmin):
    """Admin page of evaluations, which are the history of a dataset's search quality."""

    empty_title = gettext_lazy("No evaluations yet")
    empty_text = gettext_lazy("Evaluate a dataset above by questions whose documents you know.")
    view_permission = Permission.DATASETS_VIEW
    list_display = ("__str__", "dataset", "shown_status", "progress", "recall_5", "mrr", "created_at")
    list_select_related = ("dataset",)
    list_before_template = "document_evaluation/admin/start_link.html"
    change_form_after_template = "document_evaluation/admin/results.html"
    search_fields = ("note", "dataset__name")
    ordering = ("-id",)
    post_actions = ("delete",)
    readonly_fields = ("shown_status", "progress", "shown_error", "shown_settings")
    fields = ("dataset", "note", *readonly_fields, "created_at", "completed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        evaluations = find_evaluations().defer("questions", "ranks")
        return evaluations.select_related("tenant") if self.access(request).sees_all_tenants else evaluations

    @admin.display(description=gettext_lazy("Status"), ordering="shown_status")
    def shown_status(self, evaluation: Any) -> str:
        return gettext(evaluation.shown_status)

    @admin.display(description=gettext_lazy("Questions"))
    def progress(self, evaluation: Evaluation) -> str:
        return f"{evaluation.questions_done} / {evaluation.questions_total}"

    @admin.display(description=gettext_lazy("Error"))
    def shown_error(self, evaluation: Any) -> str:
        return evaluation.job_error_message or "–"

    @admin.display(description=gettext_lazy("recall@5"))
    def recall_5(self, evaluation: Evaluation) -> str:
        return _first(evaluation, "recall_5")

    @admin.display(description=gettext_lazy("MRR"))
    def mrr(self, evaluation: Evaluation) -> str:
        return _first(evaluation, "mrr")

    @admin.display(description=gettext_lazy("Settings"))
    def shown_settings(self, evaluation: Evaluation) -> str:
        return ", ".join(
            f"{_name_of(name)} {'–' if value is None else value}" for name, value in evaluation.settings.items()
        )

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The evaluation and its results are deleted for ever."),
        permission=Permission.DATASETS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, evaluation: Evaluation, reason: str) -> HttpResponse:
        delete_evaluation(evaluation_id=evaluation.pk, reason=reason)
        self.message_user(request, gettext("%(evaluation)s is deleted.") % {"evaluation": evaluation})
        return HttpResponseRedirect(reverse("admin:document_evaluation_evaluation_changelist"))

    def get_urls(self) -> list[URLPattern]:
        start = self.guard(self.start_view, Permission.DATASETS_MANAGE, takes_files=True)
        comparison = self.guard(require_safe(self.comparison_view), Permission.DATASETS_VIEW)
        prefix = "document_evaluation_evaluation"
        return [
            path("start/", start, name=f"{prefix}_start"),
            path("<uuid:pk>/comparison/", comparison, name=f"{prefix}_comparison"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        evaluation = context.get("original")
        if evaluation is not None and evaluation.completed_at:
            others = self.get_queryset(request).filter(dataset_id=evaluation.dataset_id, completed_at__isnull=False)
            context["earlier"] = others.exclude(pk=evaluation.pk).order_by("-id")[:_OFFERED]
        return super().render_change_form(request, context, *args, **kwargs)

    def comparison_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Show what differs between an evaluation and the one that the URL's query names."""
        before = id_of(request.GET.get("before", ""))
        if before is None:
            raise Http404
        try:
            comparison = compare(get_evaluation(before), after := get_evaluation(pk))
        except DomainError as refusal:
            raise Http404(refusal.detail) from refusal
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Comparison of evaluations of %(dataset)s") % {"dataset": after.dataset},
            "opts": self.opts,
            "evaluation": after,
            "comparison": comparison,
        }
        return TemplateResponse(request, "document_evaluation/admin/comparison.html", context)

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form that starts an evaluation; on POST, start it or show the faulty lines."""
        if request.method == "POST":
            form = EvaluationForm(request.POST, request.FILES)
            evaluation = _start(form) if form.is_valid() else None
            if evaluation is not None:
                return HttpResponseRedirect(
                    reverse("admin:document_evaluation_evaluation_change", args=[evaluation.pk])
                )
        else:
            form = EvaluationForm(initial={"dataset": request.GET.get("dataset")})
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Evaluate a dataset"),
            "opts": self.opts,
            "form": form,
            "note": gettext("A job asks all questions in each mode. Lines with the same question are several answers."),
            "submit": gettext("Evaluate"),
        }
        return TemplateResponse(request, "files/admin/upload.html", context)


def _start(form: EvaluationForm) -> Evaluation | None:
    """Start the evaluation of the form; return None, with the faults in the form, if it is refused."""
    asked = form.cleaned_data
    dataset, file = asked["dataset"], asked["file"]
    assert isinstance(file, UploadedFile)
    try:
        return start_evaluation(
            tenant=Tenant.objects.select_related("plan").get(pk=dataset.tenant_id),
            dataset=dataset,
            data=file.read(MAX_FILE_BYTES + 1),
            note=asked["note"],
            is_rate_limited=True,
        )
    except DomainError as refusal:
        for message in [fault["detail"] for fault in refusal.errors] or [refusal.detail]:
            form.add_error("file", message)
        return None


def _name_of(setting: str) -> str:
    """Return the name of a setting of a dataset, or of a number of its rows, in the reader's language."""
    counted = {"documents": Document, "chunks": Chunk}.get(setting)
    return str(counted._meta.verbose_name_plural if counted else label_for_field(setting, Dataset))


def _first(evaluation: Evaluation, metric: str) -> str:
    """Return a metric of the mode and weight that the dataset has."""
    return f"{evaluation.results[0][metric]:.3f}" if evaluation.results else "–"
