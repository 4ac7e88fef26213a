"""URLs of workflows and approvals in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from tenants.api.viewsets import UUID_PATTERN
from workloads.workflows.api.approvals import ApprovalViewSet
from workloads.workflows.api.replays import WorkflowReplayViewSet
from workloads.workflows.api.views import WorkflowViewSet

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("approvals", ApprovalViewSet, basename="approval")

urlpatterns = [
    re_path(
        rf"^workflow-runs/(?P<pk>{UUID_PATTERN})/replay/$",
        WorkflowReplayViewSet.as_view({"post": "replay"}),
        name="workflow-run-replay",
    ),
    path("", include(router.urls)),
]
