"""Navigation of the console: groups of links to pages that are registered and that the user may view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.site import console_site


@dataclass(frozen=True, slots=True)
class Page:
    """Link to the list of a model; ``place`` is the key after `g` in its keyboard shortcut."""

    model: str
    title: str
    icon: str
    place: str = ""


GROUPS: tuple[tuple[str, tuple[Page, ...]], ...] = (
    (
        gettext_noop("Operate"),
        (
            Page("scheduling.Job", gettext_noop("Jobs"), "work", "jobs"),
            Page("scheduling.Batch", gettext_noop("Batches"), "stacks"),
            Page("scheduling.BulkOperation", gettext_noop("Bulk operations"), "checklist"),
            Page("workflow_execution.Workflow", gettext_noop("Workflows"), "account_tree"),
            Page("workflow_execution.Approval", gettext_noop("Approvals"), "approval"),
            Page("scheduling.DeadLetter", gettext_noop("Dead letters"), "mark_email_unread", "dead-letters"),
            Page("scheduling.Circuit", gettext_noop("Circuit breakers"), "electrical_services"),
            Page("scheduling.Queue", gettext_noop("Queues"), "table_rows", "queues"),
            Page("scheduling.Worker", gettext_noop("Workers"), "memory", "workers"),
            Page("scheduling.Schedule", gettext_noop("Schedules"), "schedule", "schedules"),
        ),
    ),
    (
        gettext_noop("Fairness"),
        (
            Page("tenants.Tenant", gettext_noop("Tenants"), "domain", "tenants"),
            Page("tenants.Plan", gettext_noop("Plans"), "sell"),
            Page("tenants.TenantLimit", gettext_noop("Overrides"), "tune"),
            Page("scheduling.CFSPlan", gettext_noop("CFS plans"), "balance", "plans"),
            Page("scheduling.FairShareNode", gettext_noop("Virtual times"), "speed"),
            Page("scheduling.KindCost", gettext_noop("Costs by kind"), "timer"),
        ),
    ),
    (
        gettext_noop("Assure"),
        (
            Page("tenants.AuditLogEntry", gettext_noop("Audit log"), "fact_check", "audit"),
            Page("tenants.TenantErasure", gettext_noop("Erasures"), "delete_forever"),
            Page("scheduling.Execution", gettext_noop("Executions"), "history"),
            Page("scheduling.LiveExecution", gettext_noop("In flight"), "play_circle"),
            Page("scheduling.JobEvent", gettext_noop("Job events"), "timeline"),
            Page("scheduling.Charge", gettext_noop("Charge ledger"), "receipt_long"),
            Page("scheduling.UpkeepRun", gettext_noop("Upkeep"), "cleaning_services"),
            Page("django_celery_beat.PeriodicTask", gettext_noop("Upkeep tasks (beat)"), "timer"),
        ),
    ),
    (
        gettext_noop("Configure"),
        (
            Page("tenants.TenantSettings", gettext_noop("Settings"), "settings"),
            Page("scheduling.RoutingRule", gettext_noop("Routing rules"), "alt_route"),
            Page("scheduling.WorkerPool", gettext_noop("Worker pools"), "lan"),
            Page("scheduling.KindPause", gettext_noop("Paused kinds"), "pause_circle"),
            Page("tenants.Tier", gettext_noop("Tiers"), "stairs"),
            Page("tenants.Membership", gettext_noop("Members"), "badge"),
            Page("tenants.Invitation", gettext_noop("Invitations"), "mail"),
            Page("tenants.ApiKey", gettext_noop("API keys"), "key"),
            Page(settings.AUTH_USER_MODEL, gettext_noop("Users"), "person"),
            Page("tenants.PlatformMembership", gettext_noop("Platform roles"), "shield_person"),
        ),
    ),
)
FAIRNESS = [title for title, _ in GROUPS].index("Fairness")
ASSURE = [title for title, _ in GROUPS].index("Assure")
# Linked from related pages, not from the navigation.
ELSEWHERE = frozenset(
    {
        "django_celery_beat.IntervalSchedule",
        "django_celery_beat.CrontabSchedule",
        "django_celery_beat.SolarSchedule",
        "django_celery_beat.ClockedSchedule",
        "scheduling.ScheduleFire",
        "scheduling.TenantCapacity",
        "scheduling.TenantUpkeepRun",
        "tenants.PlatformKey",
    }
)


def build_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar for this user in unfold's format. Models of plug-ins get a group with their app's name."""
    visible: dict[str, dict[str, Any]] = {}
    app_of: dict[str, str] = {}
    for app in console_site.get_app_list(request):
        for model in app["models"]:
            if model["admin_url"]:
                label = f"{app['app_label']}.{model['object_name']}"
                visible[label], app_of[label] = model, app["name"]
    groups: list[dict[str, Any]] = [
        {
            "title": gettext(title),
            "items": [_item(page, visible.pop(page.model)) for page in pages if page.model in visible],
        }
        for title, pages in GROUPS
    ]
    groups[0]["items"].insert(0, _link(gettext_noop("Overview"), "monitoring", "admin:index", "overview"))
    if access_of(request).may(Permission.JOBS_VIEW):
        groups[0]["items"] += [
            _link(gettext_noop("Errors"), "error", "admin:errors"),
            _link(gettext_noop("Job kinds"), "category", "admin:job_kinds"),
        ]
        groups[FAIRNESS]["items"].insert(
            0, _link(gettext_noop("Fairness explorer"), "query_stats", "admin:fairness", "fairness")
        )
    if access_of(request).may(Permission.PLATFORM_VIEW):
        groups[ASSURE]["items"].insert(0, _link(gettext_noop("Alerts"), "notifications", "admin:alerts"))
        groups[ASSURE]["items"].append(_link(gettext_noop("Self-diagnosis"), "stethoscope", "admin:diagnosis"))
    if access_of(request).may(Permission.AUDIT_VIEW):
        groups[ASSURE]["items"].append(_link(gettext_noop("Compliance"), "verified_user", "admin:compliance"))
    if access_of(request).may(Permission.MEMBERS_VIEW):
        groups[-1]["items"].append(_link(gettext_noop("Roles"), "rule", "admin:roles"))
    plug_ins: dict[str, list[dict[str, Any]]] = {}
    for label, model in visible.items():
        if label not in ELSEWHERE:
            page = Page(label, str(model["name"]), "description")
            plug_ins.setdefault(app_of[label], []).append(_item(page, model))
    groups[1:1] = [{"title": name, "items": items} for name, items in plug_ins.items()]
    return [group for group in groups if group["items"]]


def _link(title: str, icon: str, url_name: str, place: str = "") -> dict[str, Any]:
    return _entry(title, icon, reverse(url_name), place)


def _item(page: Page, model: dict[str, Any]) -> dict[str, Any]:
    return _entry(page.title, page.icon, model["admin_url"], page.place)


def _entry(title: str, icon: str, link: str, place: str) -> dict[str, Any]:
    return {"title": gettext(title), "icon": icon, "link": link, "place": place}
