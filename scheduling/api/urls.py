"""The scheduler's part of `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from scheduling.api.views.batches import BatchViewSet
from scheduling.api.views.bulk import BulkSubmissionViewSet
from scheduling.api.views.bulk_operations import BulkOperationViewSet
from scheduling.api.views.cfs_plans import CFSPlanViewSet
from scheduling.api.views.circuits import CircuitViewSet, SharedCircuitViewSet
from scheduling.api.views.dead_letters import DeadLetterViewSet
from scheduling.api.views.errors import ErrorViewSet
from scheduling.api.views.fairness import FairnessViewSet
from scheduling.api.views.history import ExecutionViewSet
from scheduling.api.views.job_kinds import JobKindViewSet
from scheduling.api.views.job_logs import JobLogViewSet
from scheduling.api.views.jobs import JobViewSet
from scheduling.api.views.queues import QueueViewSet
from scheduling.api.views.routing import RoutingTrialViewSet
from scheduling.api.views.schedules import ScheduleViewSet
from scheduling.api.views.stops import KindViewSet, PoolViewSet, WorkerViewSet
from scheduling.api.views.streams import EventStreamViewSet
from scheduling.api.views.upkeep import TenantRunViewSet, UpkeepViewSet
from scheduling.api.views.what_if import WhatIfViewSet
from tenants.api.viewsets import UUID_PATTERN

router = SimpleRouter()
router.register("jobs", JobViewSet, basename="job")
router.register("batches", BatchViewSet, basename="batch")
router.register("bulk-operations", BulkOperationViewSet, basename="bulk-operation")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("dead-letters", DeadLetterViewSet, basename="dead-letter")
router.register("circuits", CircuitViewSet, basename="circuit")
router.register("shared-circuits", SharedCircuitViewSet, basename="shared-circuit")
router.register("errors", ErrorViewSet, basename="error")
router.register("fairness", FairnessViewSet, basename="fairness")
router.register("queues", QueueViewSet, basename="queue")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("upkeep", UpkeepViewSet, basename="upkeep")
router.register("upkeep-runs", TenantRunViewSet, basename="upkeep-run")
router.register("job-kinds", JobKindViewSet, basename="job-kind")
router.register("kinds", KindViewSet, basename="kind")
router.register("pools", PoolViewSet, basename="pool")
router.register("cfs-plans", CFSPlanViewSet, basename="cfs-plan")
router.register("workers", WorkerViewSet, basename="worker")

urlpatterns = [
    path("routing-rules/test/", RoutingTrialViewSet.as_view({"post": "test"}), name="routing-test"),
    path("jobs/bulk/", BulkSubmissionViewSet.as_view({"post": "create"}), name="job-bulk"),
    path("jobs/stream/", EventStreamViewSet.as_view({"get": "of_tenant"}), name="jobs-stream"),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/stream/$",
        EventStreamViewSet.as_view({"get": "of_job"}),
        name="job-stream",
    ),
    path("cfs-plans/what-if/", WhatIfViewSet.as_view({"post": "ask"}), name="what-if"),
    re_path(rf"^jobs/(?P<job_id>{UUID_PATTERN})/logs/$", JobLogViewSet.as_view({"get": "list"}), name="job-logs"),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/logs/download/$",
        JobLogViewSet.as_view({"get": "download"}),
        name="job-logs-download",
    ),
    path("", include(router.urls)),
]
