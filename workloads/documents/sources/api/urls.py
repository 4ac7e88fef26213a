"""URLs of sources of documents in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.documents.sources.api.views import DocumentSourceViewSet

router = SimpleRouter()
router.register("document-sources", DocumentSourceViewSet, basename="document-source")

urlpatterns = [path("", include(router.urls))]
