"""URLs of datasets in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.documents.api.views import DatasetViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="dataset")

urlpatterns = [path("", include(router.urls))]
