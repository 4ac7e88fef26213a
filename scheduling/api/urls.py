"""URLs of scheduling's API, below `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from scheduling.alerts.api import AlertViewSet
from scheduling.alerts.config_api import CONFIGURED_VIEWS, AlertMessageViewSet
from scheduling.anomalies.api import AnomalyViewSet, BaselineViewSet
from scheduling.approvals.api import ApprovalRuleViewSet
from scheduling.archive.api import ArchivedJobViewSet
from scheduling.backups.api import BackupPlanViewSet, BackupViewSet
from scheduling.breakers.api import CircuitViewSet, SharedCircuitViewSet
from scheduling.bulk.api import BulkOperationViewSet
from scheduling.compensation.api import CompensationViewSet
from scheduling.controls.api import ControlViewSet
from scheduling.correlation.api import CorrelationViewSet
from scheduling.diagnosis.api import DiagnosisViewSet
from scheduling.errors.api import ErrorViewSet
from scheduling.evidence.api import EvidencePackViewSet, EvidenceScheduleViewSet
from scheduling.execution.api import ExecutionViewSet
from scheduling.execution.logs.api import JobLogViewSet
from scheduling.identity.api import ClaimRuleViewSet, TenantRoleViewSet
from scheduling.inbox.api import EventTriggerViewSet, EventViewSet
from scheduling.investigation.api import InvestigationViewSet
from scheduling.jobs.api import JobViewSet
from scheduling.jobs.artifacts_api import ArtifactViewSet
from scheduling.jobs.batches.api import BatchViewSet
from scheduling.jobs.bulk_api import BulkSubmissionViewSet
from scheduling.jobs.dead_letters.api import DeadLetterViewSet
from scheduling.jobs.job_templates.api import JobTemplateViewSet
from scheduling.jobs.kinds.api import JobKindViewSet
from scheduling.jobs.notes.api import JobNoteViewSet
from scheduling.jobs.routing.api import RoutingRuleViewSet, RoutingTrialViewSet
from scheduling.load.api import LoadViewSet, SheddingRuleViewSet
from scheduling.log_search.api import LogViewSet, PlatformLogViewSet
from scheduling.objectives.api import ObjectiveViewSet
from scheduling.outbox.api import OutboxRouteViewSet, OutboxViewSet
from scheduling.plans.api import CFSPlanViewSet
from scheduling.priority_rules.api import PriorityRuleViewSet
from scheduling.regions.api import RegionViewSet
from scheduling.schedules.api import ScheduleViewSet
from scheduling.shares.api import FairnessViewSet
from scheduling.statistics.heat_api import HeatMapViewSet
from scheduling.stops.api import KindViewSet, PoolViewSet, WorkerViewSet
from scheduling.streams.api import EventStreamViewSet
from scheduling.topology.api import QueueViewSet
from scheduling.upkeep.api import TenantRunViewSet, UpkeepViewSet
from scheduling.what_if.api import WhatIfViewSet
from tenants.api.viewsets import UUID_PATTERN

router = SimpleRouter()
router.register("jobs", JobViewSet, basename="job")
router.register("alerts", AlertViewSet, basename="alert")
router.register("anomalies", AnomalyViewSet, basename="anomaly")
router.register("alert-messages", AlertMessageViewSet, basename="alert-message")
for view in (
    *CONFIGURED_VIEWS,
    ApprovalRuleViewSet,
    BackupPlanViewSet,
    ControlViewSet,
    EventTriggerViewSet,
    EvidencePackViewSet,
    EvidenceScheduleViewSet,
    ObjectiveViewSet,
    OutboxRouteViewSet,
    PriorityRuleViewSet,
    SheddingRuleViewSet,
    ClaimRuleViewSet,
    TenantRoleViewSet,
):
    router.register(view.path, view, basename=view.path.removesuffix("s"))
router.register("backups", BackupViewSet, basename="backup")
router.register("compensations", CompensationViewSet, basename="compensation")
router.register("events", EventViewSet, basename="event")
router.register("outbox", OutboxViewSet, basename="outbox")
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
router.register("job-templates", JobTemplateViewSet, basename="job-template")
router.register("investigations", InvestigationViewSet, basename="investigation")
router.register("job-kinds", JobKindViewSet, basename="job-kind")
router.register("load", LoadViewSet, basename="load")
router.register("kinds", KindViewSet, basename="kind")
router.register("pools", PoolViewSet, basename="pool")
router.register("cfs-plans", CFSPlanViewSet, basename="cfs-plan")
router.register("routing-rules", RoutingRuleViewSet, basename="routing-rule")
router.register("workers", WorkerViewSet, basename="worker")

urlpatterns = [
    path("heat-map/", HeatMapViewSet.as_view({"get": "retrieve"}), name="heat-map"),
    path("baselines/", BaselineViewSet.as_view({"get": "retrieve"}), name="baselines"),
    path("correlation/", CorrelationViewSet.as_view({"get": "list"}), name="correlation"),
    path("regions/", RegionViewSet.as_view({"get": "regions"}), name="region-list"),
    path("load/", LoadViewSet.as_view({"get": "states"}), name="load-list"),
    path("diagnosis/", DiagnosisViewSet.as_view({"get": "diagnose"}), name="diagnosis"),
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
    path("logs/", LogViewSet.as_view({"get": "list"}), name="logs"),
    path("logs/platform/", PlatformLogViewSet.as_view({"get": "list"}), name="logs-platform"),
    path("logs/summary/", LogViewSet.as_view({"get": "summary"}), name="logs-summary"),
    re_path(rf"^logs/(?P<line_id>{UUID_PATTERN})/around/$", LogViewSet.as_view({"get": "around"}), name="logs-around"),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/logs/download/$",
        JobLogViewSet.as_view({"get": "download"}),
        name="job-logs-download",
    ),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/artifacts/$", ArtifactViewSet.as_view({"get": "list"}), name="job-artifacts"
    ),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/artifacts/(?P<artifact_id>{UUID_PATTERN})/$",
        ArtifactViewSet.as_view({"get": "download"}),
        name="job-artifact",
    ),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/archived/$",
        ArchivedJobViewSet.as_view({"get": "retrieve"}),
        name="job-archived",
    ),
    re_path(
        rf"^jobs/(?P<job_id>{UUID_PATTERN})/notes/$",
        JobNoteViewSet.as_view({"get": "list", "post": "create"}),
        name="job-notes",
    ),
    path("", include(router.urls)),
]
