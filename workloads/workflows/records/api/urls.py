"""URLs of workflow runs in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.workflows.records.api.views import WorkflowRunViewSet

router = SimpleRouter()
router.register("workflow-runs", WorkflowRunViewSet, basename="workflow-run")

urlpatterns = [path("", include(router.urls))]
