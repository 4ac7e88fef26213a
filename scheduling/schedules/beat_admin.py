"""Console pages of the platform's periodic tasks: the admin of django-celery-beat, for platform staff only."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from scheduling.celery.beat_tasks import find_fault, find_undelivered
from scheduling.celery.publishing import SUBMIT_TASK
from scheduling.console.links import job_link
from scheduling.console.tags import badge
from scheduling.schedules.beat_submissions import check_submission
from scheduling.schedules.queries import last_submission
from tenants.access.permissions import Permission
from tenants.access.users_admin import LoggedAdmin
from tenants.console.keyset import parse_uuid
from tenants.console.site import console_site
from tenants.exceptions import DomainError

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    console_site.unregister(model)


KWARGS_HELP = gettext_lazy(
    'A JSON object. For scheduling.submit: {"tenant": "acme", "kind": "noop", "payload": {}}; '
    "optional: priority, queue, tags, fair_key, concurrency_key, unique_key, unique_until, max_retries, run_at, "
    "deadline. It is checked on saving; one job is submitted for each due time, even if several beats run."
)


class UnfoldTaskSelectWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """Select widget of the registered Celery tasks, in the console's style."""


class BeatScheduleForm(PeriodicTaskForm):
    """Form of a periodic task of django-celery-beat, with the console's widgets and additional checks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = UnfoldTaskSelectWidget()
        if "kwargs" in self.fields:
            self.fields["kwargs"].help_text = KWARGS_HELP

    def clean(self) -> dict[str, Any]:
        """Reject a task that could not be delivered, or whose job would be refused when it is due."""
        values: dict[str, Any] = super().clean()
        if not self.errors and (fault := find_fault(PeriodicTask(**self._sent(values)))) is not None:
            self.add_error(fault.field if fault.field in self.fields else None, fault.detail)
        if values.get("task") == SUBMIT_TASK and not self.errors:
            if values.get("args", self.instance.args) not in ("", "[]"):
                self.add_error("args", gettext("This task only takes keyword arguments."))
            try:
                check_submission(json.loads(values.get("kwargs", self.instance.kwargs) or "{}"))
            except DomainError as refusal:
                if "kwargs" not in self.fields:
                    # The faults would quote values that the form hides.
                    self.add_error(None, gettext("The job would be refused: its arguments are not valid."))
                    return values
                faults = "".join(f" {fault.get('field', '')} {fault['detail']}" for fault in refusal.errors)
                self.add_error("kwargs", f"{refusal.detail}{faults}")
        return values

    def _sent(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values that decide to which queue the task is sent, with stored values for hidden fields."""
        names = ("task", "args", "queue", "exchange", "routing_key")
        return {name: values.get(name, getattr(self.instance, name)) for name in names}


class BeatAdmin(LoggedAdmin):
    """Base of the admin pages of django-celery-beat: platform staff can read them, `upkeep.run` is needed to edit."""

    empty_title = gettext_lazy("No times yet")
    empty_text = gettext_lazy("Beat runs its tasks at these times. Add one above, or on the page of a task.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.UPKEEP_RUN


# Beat's rows have no services of their own, so they are audited where Django logs them, like accounts.
@admin.register(PeriodicTask, site=console_site)
class PeriodicTaskAdmin(BeatAdmin, BeatPeriodicTaskAdmin):
    """Periodic tasks of the platform. They cannot be deleted, only disabled, so that their history stays."""

    empty_title = gettext_lazy("No tasks yet")
    empty_text = gettext_lazy("“manage.py migrate” creates the platform's own tasks. Add your own above.")

    form = BeatScheduleForm
    # They contain payloads: neither a filter in the URL nor an audit entry reveals them.
    hidden_fields = frozenset({"args", "kwargs", "headers"})
    list_display = ("name", "state_badge", "when", "task", "last_run_at", "total_run_count")
    list_filter = ()
    search_fields = ("name",)
    # Beat's actions on selected rows write no audit entry, and its form template has an inline script.
    actions = None
    change_form_template = None
    date_hierarchy = None
    fieldsets = (*BeatPeriodicTaskAdmin.fieldsets, (gettext_lazy("Last result"), {"fields": ("last_result",)}))
    readonly_fields = (*BeatPeriodicTaskAdmin.readonly_fields, "last_result")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, without the task's arguments for users without `jobs.reveal`: they contain payloads."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.access(request).may(Permission.JOBS_REVEAL):
            return fieldsets
        return [(title, options) for title, options in fieldsets if "kwargs" not in options["fields"]]

    @admin.display(description=gettext_lazy("Last submission"))
    def last_result(self, task: PeriodicTask) -> SafeString | str:
        entry = last_submission(task.pk) if task.pk else None
        if entry is None:
            return gettext("none yet")
        if entry.action == "beat.refused":
            return format_html("{} {} {}", badge("fire_refused"), f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.reason)
        job_id = parse_uuid(str((entry.after or {}).get("job", "")))
        mark = badge("fire_skipped_overlap" if entry.action == "beat.skipped" else "fire_submitted")
        return format_html("{} {} {}", mark, f"{entry.at:%Y-%m-%d %H:%M:%S}", job_link(job_id))

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, task: PeriodicTask) -> SafeString:
        return badge("active" if task.enabled else "inactive")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with an error message for each task that cannot be delivered."""
        if request.method == "GET":
            for sentence in find_undelivered():
                messages.error(request, sentence)
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    @admin.display(description=gettext_lazy("When"))
    def when(self, task: PeriodicTask) -> str:
        return str(task.scheduler)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("interval", "crontab", "solar", "clocked")


@admin.register(IntervalSchedule, site=console_site)
class IntervalScheduleAdmin(BeatAdmin):
    """Intervals such as every 30 seconds, at which periodic tasks run."""


@admin.register(CrontabSchedule, site=console_site)
class CrontabScheduleAdmin(BeatAdmin, BeatCrontabScheduleAdmin):
    """Crontabs at which periodic tasks run, each in its own time zone."""

    inlines = ()


@admin.register(SolarSchedule, site=console_site)
class SolarScheduleAdmin(BeatAdmin):
    """Solar events such as sunrise, at which periodic tasks run."""


@admin.register(ClockedSchedule, site=console_site)
class ClockedScheduleAdmin(BeatAdmin, BeatClockedScheduleAdmin):
    """Single points in time, at which a task runs once."""

    inlines = ()
