"""URLs of chunks in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.documents.chunks.api.views import (
    ChunkViewSet,
    DatasetChunksViewSet,
    DocumentChunksViewSet,
    DocumentTextViewSet,
)

router = SimpleRouter()
router.register("chunks", ChunkViewSet, basename="chunk")

urlpatterns = [
    re_path(
        f"^datasets/(?P<dataset_id>{UUID_PATTERN})/chunks/$",
        DatasetChunksViewSet.as_view({"get": "list"}),
        name="dataset-chunks",
    ),
    re_path(
        f"^documents/(?P<document_id>{UUID_PATTERN})/chunks/$",
        DocumentChunksViewSet.as_view({"get": "list"}),
        name="document-chunks",
    ),
    re_path(
        f"^documents/(?P<document_id>{UUID_PATTERN})/text/$",
        DocumentTextViewSet.as_view({"get": "download"}),
        name="document-text",
    ),
    path("", include(router.urls)),
]
