"""Menu of the console. `PAGES` says below which entry each page stands: there it is a tab, and has its breadcrumb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import resolve, reverse
from django.utils.translation import gettext, gettext_noop

from tenants.access.caller import Access, access_of
from tenants.access.narrowed_routes import narrowed_routes
from tenants.access.permissions import Permission
from tenants.console.site import console_site

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of the menu; it opens the first of its pages that the user may view."""

    title: str
    icon: str


@dataclass(frozen=True, slots=True)
class Page:
    """Page below an entry: the list of a model, or a view ``admin:…``, which needs a title, and a permission if any.

    A list has the title of its admin class. ``place`` is the page's name in `PLACES` of the keyboard shortcuts;
    ``badge`` is the view that returns the number in the menu.
    """

    entry: Entry
    target: str
    title: str = ""
    permission: Permission | None = None
    place: str = ""
    badge: str = ""


OVERVIEW = Entry(gettext_noop("Overview"), "monitoring")
JOBS = Entry(gettext_noop("Jobs"), "work")
FAILURES = Entry(gettext_noop("Failures"), "error")
BATCHES = Entry(gettext_noop("Batches"), "stacks")
WORKFLOWS = Entry(gettext_noop("Workflows"), "account_tree")
PIPELINES = Entry(gettext_noop("Pipelines"), "conversion_path")
DATASETS = Entry(gettext_noop("Datasets"), "database")
SCHEDULES = Entry(gettext_noop("Schedules"), "schedule")
TENANTS = Entry(gettext_noop("Tenants"), "domain")
PLANS = Entry(gettext_noop("Plans & weights"), "balance")
FAIRNESS = Entry(gettext_noop("Fairness"), "query_stats")
QUEUES = Entry(gettext_noop("Queues & workers"), "memory")
ALERTS = Entry(gettext_noop("Alerts"), "notifications_active")
AUDIT = Entry(gettext_noop("Audit"), "fact_check")
SETTINGS = Entry(gettext_noop("Settings"), "settings")
# A group that is closed by default; its pages are entries. Lists of plug-ins are here.
INSPECT = Entry(gettext_noop("Inspect"), "search_insights")
GROUPS = (
    (OVERVIEW, JOBS, FAILURES, BATCHES, WORKFLOWS, PIPELINES, DATASETS, SCHEDULES),
    (TENANTS, PLANS, FAIRNESS),
    (QUEUES, ALERTS, AUDIT),
    (SETTINGS,),
)

PAGES = (
    Page(OVERVIEW, "admin:index", gettext_noop("Overview"), place="overview"),
    Page(OVERVIEW, "admin:heat_map", gettext_noop("Heat map"), Permission.JOBS_VIEW),
    Page(OVERVIEW, "scheduling.LoadState"),
    Page(JOBS, "scheduling.Job", place="jobs"),
    Page(JOBS, "scheduling.JobTemplate"),
    Page(JOBS, "scheduling.BulkOperation"),
    Page(JOBS, "admin:job_kinds", gettext_noop("Job kinds"), Permission.JOBS_VIEW),
    Page(JOBS, "files.UploadedFile"),
    Page(JOBS, "files.Artifact"),
    Page(FAILURES, "admin:failures", gettext_noop("Failures"), Permission.JOBS_VIEW, place="failures"),
    Page(FAILURES, "scheduling.DeadLetter"),
    Page(FAILURES, "scheduling.Compensation"),
    Page(FAILURES, "scheduling.Circuit"),
    Page(BATCHES, "scheduling.Batch"),
    Page(WORKFLOWS, "workflow_execution.Workflow"),
    Page(WORKFLOWS, "workflow_storage.WorkflowRun"),
    Page(WORKFLOWS, "model_endpoints.ModelEndpoint"),
    Page(WORKFLOWS, "model_endpoints.UsageDay"),
    Page(WORKFLOWS, "workflow_execution.Approval", badge="admin:workflow_execution_approval_pending"),
    Page(PIPELINES, "rag_pipeline.Pipeline"),
    Page(PIPELINES, "rag_pipeline.PipelineRun"),
    Page(PIPELINES, "rag_pipeline.PipelineEntity"),
    Page(PIPELINES, "rag_pipeline.PipelineVersion"),
    Page(DATASETS, "retrieval.Dataset"),
    Page(DATASETS, "retrieval.Document"),
    Page(DATASETS, "retrieval.Chunk"),
    Page(DATASETS, "document_evaluation.Evaluation"),
    Page(DATASETS, "document_sources.ContentSource"),
    Page(DATASETS, "document_sources.SourceItem"),
    Page(SCHEDULES, "scheduling.Schedule", place="schedules"),
    Page(SCHEDULES, "scheduling.ScheduleFire"),
    Page(SCHEDULES, "scheduling.EventTrigger"),
    Page(SCHEDULES, "scheduling.InboxEvent"),
    Page(SCHEDULES, "triggers.WebhookTrigger"),
    Page(SCHEDULES, "triggers.TriggerDelivery"),
    Page(SCHEDULES, "django_celery_beat.PeriodicTask"),
    Page(SCHEDULES, "django_celery_beat.IntervalSchedule"),
    Page(SCHEDULES, "django_celery_beat.CrontabSchedule"),
    Page(SCHEDULES, "django_celery_beat.SolarSchedule"),
    Page(SCHEDULES, "django_celery_beat.ClockedSchedule"),
    Page(TENANTS, "tenants.Tenant", place="tenants"),
    Page(TENANTS, "tenants.TenantLimit"),
    Page(TENANTS, "tenants.LegalHold"),
    Page(TENANTS, "tenants.TenantErasure"),
    Page(TENANTS, "tenants.ApprovalRequest"),
    Page(TENANTS, "scheduling.ArchiveObject"),
    Page(PLANS, "scheduling.CFSPlan", place="plans"),
    Page(PLANS, "tenants.Plan"),
    Page(PLANS, "tenants.Tier"),
    Page(PLANS, "scheduling.SheddingRule"),
    Page(PLANS, "scheduling.PriorityRule"),
    Page(FAIRNESS, "admin:fairness", gettext_noop("Fairness"), Permission.JOBS_VIEW, place="fairness"),
    Page(FAIRNESS, "scheduling.Objective"),
    Page(FAIRNESS, "scheduling.FairShareNode"),
    Page(FAIRNESS, "scheduling.TenantCapacity"),
    Page(FAIRNESS, "scheduling.KindCost"),
    Page(QUEUES, "scheduling.Queue", place="queues"),
    Page(QUEUES, "scheduling.Worker", place="workers"),
    Page(QUEUES, "scheduling.WorkerPool"),
    Page(QUEUES, "scheduling.RoutingRule"),
    Page(QUEUES, "scheduling.KindPause"),
    Page(QUEUES, "admin:diagnosis", gettext_noop("Self-diagnosis"), Permission.PLATFORM_VIEW),
    Page(QUEUES, "scheduling.UpkeepRun"),
    Page(QUEUES, "scheduling.Backup"),
    Page(QUEUES, "scheduling.BackupPlan"),
    Page(ALERTS, "scheduling.Alert", place="alerts", badge="admin:alerts_open"),
    Page(ALERTS, "scheduling.AlertRule"),
    Page(ALERTS, "scheduling.AlertSilence"),
    Page(ALERTS, "scheduling.ContactGroup"),
    Page(ALERTS, "scheduling.Contact"),
    Page(ALERTS, "scheduling.AlertRoute"),
    Page(ALERTS, "scheduling.AlertOwner"),
    Page(ALERTS, "scheduling.AlertMessage"),
    Page(AUDIT, "tenants.AuditLogEntry", place="audit"),
    Page(AUDIT, "tenants.AccessReview"),
    Page(AUDIT, "tenants.AccessReviewLine"),
    Page(AUDIT, "scheduling.TenantUpkeepRun"),
    Page(AUDIT, "scheduling.EvidencePack"),
    Page(AUDIT, "scheduling.EvidenceSchedule"),
    Page(SETTINGS, "tenants.TenantSettings"),
    Page(SETTINGS, "tenants.Membership"),
    Page(SETTINGS, "tenants.Invitation"),
    Page(SETTINGS, "tenants.ApiKey"),
    Page(SETTINGS, "tenants.PlatformKey"),
    Page(SETTINGS, "tenants.ClaimRule"),
    Page(SETTINGS, "tenants.TenantRole"),
    Page(SETTINGS, "tenants.ApprovalRule"),
    Page(SETTINGS, "scheduling.ControlRule"),
    Page(SETTINGS, "tenants.TenantSecret"),
    Page(SETTINGS, "webhooks.Webhook"),
    Page(SETTINGS, "webhooks.Delivery"),
    Page(SETTINGS, "scheduling.OutboxRoute"),
    Page(SETTINGS, "scheduling.OutboxMessage"),
    Page(SETTINGS, settings.AUTH_USER_MODEL),
    Page(SETTINGS, "tenants.PlatformMembership"),
    Page(SETTINGS, "admin:roles", gettext_noop("Roles"), Permission.MEMBERS_VIEW),
    Page(INSPECT, "admin:logs", gettext_noop("Logs"), Permission.LOGS_VIEW),
    Page(INSPECT, "admin:correlation", gettext_noop("Timeline"), Permission.JOBS_VIEW),
    Page(INSPECT, "scheduling.Investigation"),
    Page(INSPECT, "scheduling.Execution"),
    Page(INSPECT, "scheduling.LiveExecution"),
    Page(INSPECT, "scheduling.JobEvent"),
    Page(INSPECT, "scheduling.Charge"),
)


def build_navigation(request: HttpRequest) -> list[Item]:
    """Return the groups of the menu for this user; what is open is ``active``."""
    models = {
        f"{app['app_label']}.{model['object_name']}": model
        for app in console_site.get_app_list(request)
        for model in app["models"]
        if model["admin_url"]
    }
    placed = {page.target for page in PAGES}
    plug_ins = (Page(INSPECT, label) for label in models if label not in placed)
    below: dict[Entry, list[Item]] = {}
    for page in (*PAGES, *plug_ins):
        if (shown := _shown(page, models, access_of(request))) is not None:
            below.setdefault(page.entry, []).append(shown)
    items = [
        [_item(entry, gettext(entry.title), below[entry]) for entry in group if entry in below] for group in GROUPS
    ]
    groups: list[Item] = [{"title": "", "items": group, "active": False} for group in items if group]
    if INSPECT in below:
        inspected = [_item(INSPECT, page["title"], [page]) for page in below[INSPECT]]
        groups.append({"title": gettext(INSPECT.title), "items": inspected, "active": False})
    _mark_active(groups, request.path)
    return groups


def place_in(groups: list[Item], path: str) -> Item:
    """Return the context that places a page: its ``trail`` of (title, link); for a list its ``title`` and ``tabs``."""
    opened = ((group, item) for group in groups for item in group["items"] if item["active"])
    group, item = next(opened, (None, None))
    if group is None or item is None:
        return {"trail": []}
    page = next(page for page in item["pages"] if page["active"])
    trail = {group["title"]: "", item["title"]: item["link"], page["title"]: page["link"]}
    trail.pop("", None)
    if path != page["link"]:
        return {"trail": list(trail.items())}
    del trail[page["title"]]
    tabs = item["pages"] if len(item["pages"]) > 1 else []
    return {"trail": list(trail.items()), "title": page["title"], "tabs": tabs}


def _shown(page: Page, models: dict[str, Item], access: Access) -> Item | None:
    """Return the page's title and link, or None if the user may not view it or its app is not installed."""
    if page.target.startswith("admin:"):
        if page.permission is not None and not access.may(page.permission):
            return None
        title, link = gettext(page.title), reverse(page.target)
    elif page.target in models:
        title, link = models[page.target]["name"], models[page.target]["admin_url"]
    else:
        return None
    if access.narrowing is not None and resolve(link).view_name not in narrowed_routes():
        return None
    badge = page.badge and reverse(page.badge)
    return {"title": title, "link": link, "place": page.place, "badge": badge, "active": False}


def _item(entry: Entry, title: str, pages: list[Item]) -> Item:
    return {"title": title, "icon": entry.icon, "link": pages[0]["link"], "pages": pages, "active": False}


def _mark_active(groups: list[Item], path: str) -> None:
    """Mark the page that is open or has the open row, the one whose path is the longest beginning, and its entry."""
    index = reverse("admin:index")
    found = [
        (len(page["link"]), page, item, group)
        for group in groups
        for item in group["items"]
        for page in item["pages"]
        if path == page["link"] or (page["link"] != index and path.startswith(page["link"]))
    ]
    for part in max(found, key=lambda match: match[0], default=(0,))[1:]:
        part["active"] = True
