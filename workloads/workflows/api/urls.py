"""URLs of workflows and approvals in `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from workloads.workflows.api.approvals import ApprovalViewSet
from workloads.workflows.api.views import WorkflowViewSet

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("approvals", ApprovalViewSet, basename="approval")

urlpatterns = [path("", include(router.urls))]
