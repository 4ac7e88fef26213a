"""The platform's own schedules: django-celery-beat's admin in the console's shell, for the platform's people."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
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

from scheduling.dashboards.tags import badge
from tenants.admin.users import LoggedAdmin
from tenants.permissions import Permission

for model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(model)


class UnfoldTaskSelectWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The registered tasks, in the shell's style."""


class ScheduleForm(PeriodicTaskForm):
    """beat's form with the shell's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = UnfoldTaskSelectWidget()


class BeatAdmin(LoggedAdmin):
    """Rows of beat: seen by the platform's people, changed by whoever runs its upkeep."""

    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.UPKEEP_RUN


# Beat's rows have no services of their own, so they are audited where Django would log them, as accounts are.
@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatAdmin, BeatPeriodicTaskAdmin):
    """When the platform's tasks run. What shall not run is switched off, so that its history stays."""

    form = ScheduleForm
    list_display = ("name", "state_badge", "when", "task", "last_run_at", "total_run_count")
    list_filter = ()
    search_fields = ("name",)
    # beat's acts on ticked rows write no audit entry, and its own form template carries an inline script.
    actions = None
    change_form_template = None
    date_hierarchy = None

    @admin.display(description="State")
    def state_badge(self, task: PeriodicTask) -> SafeString:
        return badge("active" if task.enabled else "inactive")

    @admin.display(description="When")
    def when(self, task: PeriodicTask) -> str:
        return str(task.scheduler)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("interval", "crontab", "solar", "clocked")


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(BeatAdmin):
    """Every so many seconds, minutes, hours, days."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatAdmin, BeatCrontabScheduleAdmin):
    """By the calendar, in a time zone that the row names."""

    inlines = ()


@admin.register(SolarSchedule)
class SolarScheduleAdmin(BeatAdmin):
    """By the sun."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatAdmin, BeatClockedScheduleAdmin):
    """Once, at a time."""

    inlines = ()
