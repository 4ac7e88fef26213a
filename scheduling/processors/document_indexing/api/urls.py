"""The documents' part of `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from scheduling.processors.document_indexing.api.views import DatasetDocumentsViewSet, DocumentViewSet
from tenants.api.viewsets import UUID_PATTERN

router = SimpleRouter()
router.register("documents", DocumentViewSet, basename="document")

urlpatterns = [
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/documents/$",
        DatasetDocumentsViewSet.as_view({"get": "list", "post": "create"}),
        name="dataset-documents",
    ),
    path("", include(router.urls)),
]
