"""URLs of documents in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.documents.indexing.api.operations import DatasetOperationsViewSet
from workloads.documents.indexing.api.preview import DatasetPreviewViewSet
from workloads.documents.indexing.api.views import DatasetDocumentsViewSet, DatasetSourcesViewSet, DocumentViewSet

router = SimpleRouter()
router.register("documents", DocumentViewSet, basename="document")

urlpatterns = [
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/documents/$",
        DatasetDocumentsViewSet.as_view({"get": "list", "post": "create"}),
        name="dataset-documents",
    ),
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/documents/from-text/$",
        DatasetSourcesViewSet.as_view({"post": "add_text"}),
        name="dataset-text",
    ),
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/documents/from-url/$",
        DatasetSourcesViewSet.as_view({"post": "add_address"}),
        name="dataset-address",
    ),
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/preview/$",
        DatasetPreviewViewSet.as_view({"post": "preview"}),
        name="dataset-preview",
    ),
    *(
        re_path(
            f"^datasets/(?P<dataset_id>{UUID_PATTERN})/{address}/$",
            DatasetOperationsViewSet.as_view({"post": address.replace("-", "_")}),
            name=f"dataset-{address.partition('-')[0]}",
        )
        for address in ("reindex", "disable-documents", "enable-documents")
    ),
    path("", include(router.urls)),
]
