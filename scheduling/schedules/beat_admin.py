"""Console pages of periodic tasks: the admin of django-celery-beat, for platform staff only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from scheduling.celery.beat_tasks import find_undelivered, kind_of_task
from scheduling.celery.publishing import SUBMIT_TASK
from scheduling.console.tags import badge
from scheduling.models import Schedule
from scheduling.schedules.beat_forms import PREFIX, BeatScheduleForm
from scheduling.schedules.beat_jobs import next_runs, past_runs, read_job
from scheduling.schedules.forms import payload_field
from scheduling.schedules.page import describe_task
from scheduling.schedules.queries import PREVIEW_COUNT
from scheduling.schedules.rules import KEY_FIELDS
from tenants.access.permissions import Permission
from tenants.access.users_admin import LoggedAdmin
from tenants.console.site import console_site
from tenants.database.clock import read_clock
from tenants.tenancy.editions import digest_of

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    console_site.unregister(model)


class BeatAdmin(LoggedAdmin):
    """Base of the admin pages of django-celery-beat: platform staff can read them, `upkeep.run` is needed to edit."""

    empty_title = gettext_lazy("No times yet")
    empty_text = gettext_lazy("Beat runs its tasks at these times. Add one above, or on the page of a task.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.UPKEEP_RUN


JOB_FIELDS = tuple(PREFIX + name for name in ("tenant", "kind", "payload"))
JOB_OPTIONS = tuple(PREFIX + name for name in ("priority", "queue", "tags", *KEY_FIELDS, "max_retries"))
TASK_FIELDS = ("regtask", "task", "args", "kwargs")


# Beat's rows have no services of their own, so they are audited where Django logs them, like accounts.
@admin.register(PeriodicTask, site=console_site)
class PeriodicTaskAdmin(BeatAdmin, BeatPeriodicTaskAdmin):
    """Periodic tasks: jobs of tenants, and the platform's upkeep. They are disabled, not deleted, to keep history."""

    empty_title = gettext_lazy("No tasks yet")
    empty_text = gettext_lazy("“manage.py migrate” creates the platform's own tasks. Add your own above.")

    form = BeatScheduleForm
    # They contain payloads: neither a filter in the URL nor an audit entry reveals them.
    hidden_fields = frozenset({"args", "kwargs", "headers", "job_payload"})
    list_display = ("name", "state_badge", "when", "job_tenant", "runs", "last_run_at", "total_run_count")
    list_filter = ()
    search_fields = ("name",)
    # Beat's actions on selected rows write no audit entry, and its form template has an inline script.
    actions = None
    change_form_template = None
    change_form_outer_after_template = "scheduling/dashboards/parts/beat_runs.html"
    date_hierarchy = None
    fieldsets = (
        (None, {"fields": ("name", "enabled", "description")}),
        (gettext_lazy("Job"), {"fields": JOB_FIELDS}),
        BeatPeriodicTaskAdmin.fieldsets[1],
        (gettext_lazy("Options of the job"), {"fields": JOB_OPTIONS, "classes": ("collapse",)}),
        (
            gettext_lazy("Celery message"),
            {"fields": (*TASK_FIELDS, *BeatPeriodicTaskAdmin.fieldsets[3][1]["fields"]), "classes": ("collapse",)},
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, with either the job or Celery's task.

        Users without `jobs.reveal` see no arguments of a stored task: they contain payloads.
        """
        is_job = obj is not None and (obj.task == SUBMIT_TASK or bool(kind_of_task(obj.task)))
        hidden: set[str] = set()
        if obj is not None and not self.access(request).may(Permission.JOBS_REVEAL):
            hidden.update(("job_payload", "args", "kwargs"))
        if obj is not None and not is_job:
            hidden.update(JOB_FIELDS, JOB_OPTIONS)
        elif is_job:
            hidden.update(TASK_FIELDS if self.has_change_permission(request) else ("job_payload", *JOB_OPTIONS))
        shown = [
            (title, {**options, "fields": [name for name in options["fields"] if name not in hidden]})
            for title, options in super().get_fieldsets(request, obj)
        ]
        return [(title, options) for title, options in shown if options["fields"]]

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Return the form class, with the fields of a schedule's job."""
        fields: dict[str, Any] = {"access": self.access(request)}
        if self.has_change_permission(request):
            shown = flatten_fieldsets(self.get_fieldsets(request, obj))
            fields |= {name: self._job_field(name, request) for name in (*JOB_FIELDS, *JOB_OPTIONS) if name in shown}
        return super().get_form(request, obj, form=type("BeatJobForm", (self.form,), fields), **kwargs)

    def _job_field(self, name: str, request: HttpRequest) -> Any:
        if name == "job_tenant":
            text = gettext_lazy("Slug of the tenant whose job it submits.")
            return forms.CharField(label=gettext_lazy("Tenant"), help_text=text)
        column: Any = Schedule._meta.get_field(name.removeprefix(PREFIX))
        return payload_field(column) if name == "job_payload" else self.formfield_for_dbfield(column, request)

    def related_values(self, obj: PeriodicTask) -> dict[str, str]:
        """Return a mark of the job, which is not a field of the form."""
        return {gettext("Job"): digest_of(obj.kwargs)[:8]}

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show the form with the task's next ten and last ten runs."""
        task = context.get("original")
        if task is not None:
            context["schedule_runs"] = next_runs(task, read_clock(), PREVIEW_COUNT)
            context["beat_entries"] = past_runs(task, PREVIEW_COUNT)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("Tenant"))
    def job_tenant(self, task: PeriodicTask) -> str:
        job = read_job(task)
        return job.tenant if job else "–"

    @admin.display(description=gettext_lazy("Runs"))
    def runs(self, task: PeriodicTask) -> str:
        return self.job_kind(task) if read_job(task) else task.task

    @admin.display(description=gettext_lazy("Kind"))
    def job_kind(self, task: PeriodicTask) -> str:
        job = read_job(task)
        return job.kind if job else "–"

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
        return describe_task(task)

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
