"""The Django app of evaluations of searches. A line in INSTALLED_APPS adds the job kind `dataset_evaluation`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentEvaluationConfig(AppConfig):
    """App configuration of the job kind `dataset_evaluation`, with its API, admin pages and command."""

    name = "workloads.documents.evaluation"
    label = "document_evaluation"
    verbose_name = gettext_lazy("Document evaluation")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.documents.evaluation.processor.DatasetEvaluation",)
    narrowed_routes = (
        *(f"evaluation-{name}" for name in ("list", "detail", "comparison")),
        "dataset-evaluations",
        *(
            f"admin:document_evaluation_evaluation_{name}"
            for name in ("changelist", "change", "act", "start", "comparison", "export")
        ),
    )
    api_urls = "workloads.documents.evaluation.api.urls"
