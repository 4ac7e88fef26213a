"""Console pages of workers: last heartbeat, running jobs and draining."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.console.help_texts import HelpfulMixin
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words
from scheduling.fleet.blocks import list_blocks
from scheduling.fleet.history import RANGES, worker_charts
from scheduling.fleet.queries import EXECUTION_LIMIT, list_current_executions, list_workers
from scheduling.fleet.workers import drain_worker, resume_worker
from scheduling.models import Worker
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.keyset import parse_uuid
from tenants.console.live_pages import LiveListMixin, LivePageMixin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.platform_settings import platform_settings

NOW_TEMPLATE = "scheduling/dashboards/parts/worker_now.html"


@admin.register(Worker, site=console_site)
class WorkerAdmin(LiveListMixin, LivePageMixin, HelpfulMixin, PlatformStaffAdmin):
    """Admin pages of the workers, with the age of their heartbeats and their running jobs."""

    view_permission = Permission.PLATFORM_VIEW
    list_display = (
        "process",
        "state_badge",
        "pool",
        "slots",
        "running",
        "heard",
        "canary",
        "skew",
        "version",
        "started_at",
    )
    change_form_outer_before_template = "scheduling/dashboards/worker_now.html"
    change_form_outer_after_template = "scheduling/dashboards/parts/worker_history.html"
    ordering = ("-id",)
    sortable_by = ()
    post_actions = ("drain", "resume")
    empty_title = gettext_lazy("No workers yet")
    empty_text = gettext_lazy(
        "Start one with “manage.py run_worker --pool default”, or everything with “manage.py run_platform”."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return list_workers().order_by("-id")

    def render_now(self, request: HttpRequest, object_id: str) -> str | None:
        worker_id = parse_uuid(object_id)
        worker = list_workers().filter(pk=worker_id).first() if worker_id else None
        if worker is None:
            return None
        context = {
            "worker": worker,
            "state": self.state_badge(worker),
            "heard": self.heard(worker),
            "canary": self.canary(worker),
            "executions": list_current_executions(worker.pk),
            "execution_limit": EXECUTION_LIMIT,
            "blocks": list_blocks(worker),
        }
        return render_to_string(NOW_TEMPLATE, context, request)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        asked = request.GET.get("range", "")
        chosen = asked if asked in RANGES else next(iter(RANGES))
        context |= {"charts": worker_charts(context["original"].pk, chosen=chosen), "chosen": chosen}
        context["ranges"] = [(name, title) for name, (title, *_) in RANGES.items()]
        return super().render_change_form(request, context, *args, **kwargs)

    @post_action(
        label=gettext_lazy("Drain"),
        consequence=gettext_lazy("The worker takes no further job. It can be stopped when its jobs have ended."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda worker: worker.status == Worker.Status.ONLINE,
    )
    def drain(self, request: HttpRequest, worker: Worker, reason: str) -> str:
        drain_worker(worker_id=worker.pk, reason=reason)
        return gettext("%(worker)s is draining: it receives no more jobs, and running jobs continue.") % {
            "worker": worker
        }

    @post_action(
        label=gettext_lazy("Resume"),
        permission=Permission.QUEUES_OPERATE,
        is_offered=lambda worker: worker.status == Worker.Status.DRAINING,
    )
    def resume(self, request: HttpRequest, worker: Worker, reason: str) -> str:
        resume_worker(worker_id=worker.pk)
        return gettext("%(worker)s receives jobs again.") % {"worker": worker}

    @admin.display(description=gettext_lazy("Worker"))
    def process(self, worker: Worker) -> str:
        return str(worker)

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, worker: Worker) -> SafeString:
        silent = (timezone.now() - worker.heartbeat_at).total_seconds() > platform_settings.LEASE_SECONDS
        if worker.stop_reason:
            return badge(worker.stop_reason)
        return badge("silent" if worker.status == Worker.Status.ONLINE and silent else worker.status)

    @admin.display(description=gettext_lazy("Running"))
    def running(self, worker: Worker) -> str:
        """Return how many executions run on the worker now."""
        return f"{worker.running:,}"  # type: ignore[attr-defined] # list_workers counts them

    @admin.display(description=gettext_lazy("Last heartbeat"))
    def heard(self, worker: Worker) -> str:
        return _ago(worker.heartbeat_at)

    @admin.display(description=gettext_lazy("Last canary"))
    def canary(self, worker: Worker) -> str:
        return _ago(worker.canary_at) if worker.canary_at else "-"

    @admin.display(description=gettext_lazy("Clock skew"))
    def skew(self, worker: Worker) -> str:
        return "-" if worker.clock_skew_seconds is None else f"{worker.clock_skew_seconds:+.2f} s"


def _ago(moment: datetime) -> str:
    return gettext("%(duration)s ago") % {"duration": duration_words(timezone.now() - moment)}
