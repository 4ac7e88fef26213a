"""URLs of datasets in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.documents.api.views import DatasetViewSet
from workloads.documents.reembedding.api import ReembeddingViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="dataset")

urlpatterns = [
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/reembed/$",
        ReembeddingViewSet.as_view({"get": "retrieve", "post": "create"}),
        name="dataset-reembed",
    ),
    path("", include(router.urls)),
]
