"""URLs of pipelines in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.pipelines.api.views import (
    PipelineEntityViewSet,
    PipelineRunViewSet,
    PipelineVersionViewSet,
    PipelineViewSet,
)

router = SimpleRouter()
router.register("pipelines", PipelineViewSet, basename="pipeline")
router.register("pipeline-runs", PipelineRunViewSet, basename="pipeline-run")
router.register("entities", PipelineEntityViewSet, basename="pipeline-entity")

_VERSIONS = f"^pipelines/(?P<pipeline_id>{UUID_PATTERN})/versions"
urlpatterns = [
    re_path(
        f"{_VERSIONS}/$", PipelineVersionViewSet.as_view({"get": "list", "post": "create"}), name="pipeline-versions"
    ),
    re_path(
        rf"{_VERSIONS}/(?P<number>[0-9]{{1,9}})/$",
        PipelineVersionViewSet.as_view({"get": "retrieve"}),
        name="pipeline-version",
    ),
    path("", include(router.urls)),
]
