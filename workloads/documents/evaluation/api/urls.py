"""URLs of evaluations in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.documents.evaluation.api.views import DatasetEvaluationsViewSet, EvaluationViewSet

router = SimpleRouter()
router.register("evaluations", EvaluationViewSet, basename="evaluation")

urlpatterns = [
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/evaluations/$",
        DatasetEvaluationsViewSet.as_view({"get": "list", "post": "create"}),
        name="dataset-evaluations",
    ),
    path("", include(router.urls)),
]
