"""URLs of files in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.files.api.views import FileViewSet

router = SimpleRouter()
router.register("files", FileViewSet, basename="file")

urlpatterns = [path("", include(router.urls))]
