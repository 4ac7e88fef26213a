"""Console pages of schedules: form with a live preview, run now, pause, resume, backfill and past fires."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Field, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from scheduling.console.filters import KindFilter, TenantFilter
from scheduling.console.help_texts import HelpfulMixin
from scheduling.console.tags import badge, fire_mark
from scheduling.jobs.payload_form.page import redraw
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.definitions import (
    EDITABLE_FIELDS,
    create_schedule,
    delete_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule,
)
from scheduling.schedules.forms import BackfillForm, ScheduleForm, payload_field
from scheduling.schedules.page import beat_rows, describe_schedule, draw_preview, draw_runs, offered_job
from scheduling.schedules.queries import default_zone, find_schedules, fires_of
from scheduling.schedules.rules import WAYS
from scheduling.schedules.runs import Backfill, backfill_schedule, run_schedule_now
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.edit_conflicts import FIELD as SEEN
from tenants.console.moments import moment
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.limits.declared import SEARCH, costs

NEWEST_FIRES = 10
# Fields on the first screen of the form, beside the next runs; the others are under "Advanced".
FIRST_FIELDS = ("tenant", "name", "template", "kind", *WAYS, "timezone", "payload")
LAST_FIELDS = ("reason", "seen_version", SEEN)


@admin.register(Schedule, site=console_site)
class ScheduleAdmin(HelpfulMixin, TenantScopedAdmin):
    """Admin pages of the schedules in the current tenant context."""

    view_permission = Permission.SCHEDULES_VIEW
    add_permission = change_permission = Permission.SCHEDULES_MANAGE
    form = ScheduleForm
    list_display = ("name", "state_badge", "when", "timezone", "overlap_policy", "next_run", "last_badge")
    list_filter = (KindFilter, TenantFilter)
    search_fields = ("name",)
    sortable_by = ()
    post_actions = ("run_now", "pause", "resume", "delete")
    list_after_template = "scheduling/dashboards/parts/beat_rows.html"
    change_form_before_template = "scheduling/dashboards/parts/schedule_preview.html"
    change_form_outer_after_template = "scheduling/dashboards/parts/schedule_fires.html"
    empty_title = gettext_lazy("No schedules yet")
    empty_text = gettext_lazy(
        "A schedule submits a job repeatedly, such as every night at 02:30 in Berlin. Add one above."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        return find_schedules().order_by("name", "pk")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the schedules, and beat's periodic tasks that submit jobs."""
        access = self.access(request)
        context: dict[str, Any] = {"may_see_beat": access.may(Permission.PLATFORM_VIEW)}
        if self.has_view_permission(request):
            context["beat_rows"] = beat_rows(access.tenant.slug if access.tenant else request.GET.get("tenant"))
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **context})
        return response

    def get_fields(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        hidden = {"payload"} if obj is not None and not self._reveals(request) else set()
        if obj is None and self.access(request).tenant is None:
            # Which templates there are depends on the tenant.
            hidden = {"template"}
        fields = [name for name in EDITABLE_FIELDS if name not in hidden]
        if obj is None:
            return fields if self.access(request).tenant is not None else ["tenant", *fields]
        if not self.has_change_permission(request):
            return fields
        return [*fields, "reason", "seen_version"]

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        """Return the fieldsets: what each schedule needs, and the rest, closed."""
        ((_, options),) = super().get_fieldsets(request, obj)
        fields = options["fields"]
        first = [name for name in (*FIRST_FIELDS, *LAST_FIELDS) if name in fields]
        advanced = [name for name in fields if name not in first]
        return [
            (None, {"fields": first}),
            (gettext("Advanced"), {"fields": advanced, "classes": ("collapse",)}),
        ]

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "payload":
            return payload_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, **kwargs)
        form.own_tenant = obj.tenant if obj is not None else self.access(request).tenant
        form.access = self.access(request)
        return form

    def related_values(self, obj: Schedule) -> dict[str, str]:
        return {
            gettext("State"): gettext("enabled")
            if obj.is_enabled
            else gettext("paused: %(reason)s") % {"reason": obj.pause_reason}
        }

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        tenant = self.access(request).tenant
        zone = {"timezone": default_zone(tenant.pk)} if tenant is not None else {}
        return zone | offered_job(request.GET)

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        values, access = form.values(), self.access(request)
        if change:
            update_schedule(
                schedule_id=obj.pk,
                changes=values,
                version=form.cleaned_data["seen_version"],
                reason=form.cleaned_data["reason"],
                access=access,
            )
        else:
            tenant = form.own_tenant or form.cleaned_data["tenant"]
            obj.pk = create_schedule(tenant=tenant, values=values, access=access).pk

    def get_urls(self) -> list[URLPattern]:
        preview = self.guard(require_POST(self.preview_view), Permission.SCHEDULES_VIEW)
        backfill = self.guard(self.backfill_view, Permission.SCHEDULES_MANAGE)
        payload = self.guard(require_POST(self.payload_view), Permission.SCHEDULES_MANAGE)
        return [
            path("payload/", payload, name="scheduling_schedule_payload"),
            path("preview/", preview, name="scheduling_schedule_preview"),
            path("<uuid:object_id>/backfill/", backfill, name="scheduling_schedule_backfill"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        schedule = context.get("original")
        if schedule is not None:
            context["schedule_runs"] = draw_runs(schedule)
            context["schedule_fires"] = list(fires_of(schedule)[:NEWEST_FIRES])
            context["may_backfill"] = self.has_change_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    @costs(SEARCH)
    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment with the next ten runs for the values of the posted form; save nothing."""
        return HttpResponse(draw_preview(request.POST, request))

    def payload_view(self, request: HttpRequest) -> HttpResponse:
        """Return the HTML of the posted payload after a change of its rows, tab, kind or template."""
        return redraw(request, self.get_form(request)(request.POST).fields["payload"], "payload")

    def backfill_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Show the times that a backfill of the posted span covers; submit their jobs if "run" was posted."""
        schedule = first_or_raise(find_schedules().filter(pk=object_id), Http404(gettext("There is no such schedule.")))
        form = BackfillForm(request.POST or None)
        plan: Backfill | None = None
        if request.method == "POST" and form.is_valid():
            plan = self._backfill(request, schedule, form)
            if plan is not None and "run" in request.POST:
                self.message_user(
                    request,
                    gettext("Submitted: %(submitted)s. Refused: %(refused)s.")
                    % {"submitted": plan.submitted, "refused": len(plan.refused)},
                )
                return HttpResponseRedirect(self._page_of(schedule))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Backfill %(schedule)s") % {"schedule": schedule},
            "opts": self.opts,
            "schedule": schedule,
            "form": form,
            "plan": plan,
        }
        return TemplateResponse(request, "scheduling/dashboards/schedule_backfill.html", context)

    def _backfill(self, request: HttpRequest, schedule: Schedule, form: BackfillForm) -> Backfill | None:
        try:
            return backfill_schedule(
                schedule_id=schedule.pk,
                since=form.cleaned_data["since"],
                until=form.cleaned_data["until"],
                is_dry_run="run" not in request.POST,
                reason=form.cleaned_data["reason"],
                is_rate_limited=self.access(request).platform_role is None,
            )
        except DomainError as refusal:
            form.add_error(None, refusal.detail)
            return None

    def _reveals(self, request: HttpRequest) -> bool:
        """Return whether payloads are shown: only to the tenant's own users, and only with `jobs.reveal`."""
        access = self.access(request)
        return access.platform_role is None and access.may(Permission.JOBS_REVEAL)

    @post_action(
        label=gettext_lazy("Run now"),
        consequence=gettext_lazy("One job is submitted at once, besides the runs that are due."),
        permission=Permission.SCHEDULES_MANAGE,
        asks_reason=True,
    )
    def run_now(self, request: HttpRequest, schedule: Schedule, reason: str) -> HttpResponse:
        is_rate_limited = self.access(request).platform_role is None
        fire = run_schedule_now(schedule_id=schedule.pk, reason=reason, is_rate_limited=is_rate_limited)
        if fire.outcome == ScheduleFire.Outcome.SUBMITTED:
            said = gettext("%(schedule)s runs now. This is its job.")
        else:
            said = gettext("This job has the unique key of %(schedule)s, so no other was submitted.")
        self.message_user(request, said % {"schedule": schedule})
        return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[fire.job_id]))

    @post_action(
        label=gettext_lazy("Pause"),
        consequence=gettext_lazy(
            "No job is submitted until it is resumed; the catch-up policy says what happens to the missed runs."
        ),
        permission=Permission.SCHEDULES_MANAGE,
        asks_reason=True,
        is_offered=lambda schedule: schedule.is_enabled,
    )
    def pause(self, request: HttpRequest, schedule: Schedule, reason: str) -> str:
        pause_schedule(schedule_id=schedule.pk, reason=reason)
        return gettext("%(schedule)s is paused; missed times are not caught up.") % {"schedule": schedule}

    @post_action(
        label=gettext_lazy("Resume"),
        permission=Permission.SCHEDULES_MANAGE,
        is_offered=lambda schedule: not schedule.is_enabled,
    )
    def resume(self, request: HttpRequest, schedule: Schedule, reason: str) -> str:
        resume_schedule(schedule_id=schedule.pk, reason=reason)
        return gettext("%(schedule)s is resumed.") % {"schedule": schedule}

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("No further job is submitted. Its jobs so far stay."),
        permission=Permission.SCHEDULES_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, schedule: Schedule, reason: str) -> HttpResponse:
        delete_schedule(schedule_id=schedule.pk, reason=reason)
        self.message_user(
            request,
            gettext("%(schedule)s and the record of its fires are deleted; its jobs stay.") % {"schedule": schedule},
        )
        return HttpResponseRedirect(reverse("admin:scheduling_schedule_changelist"))

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, schedule: Schedule) -> SafeString:
        if not schedule.is_enabled:
            return format_html("{} {}", badge("paused"), schedule.pause_reason[:60])
        return badge("active") if schedule.next_fire_at else badge("inactive", "ended")

    @admin.display(description=gettext_lazy("When"))
    def when(self, schedule: Schedule) -> SafeString:
        return format_html("{}<br><code>{}</code>", describe_schedule(schedule), schedule.cron)

    @admin.display(description=gettext_lazy("Next run"))
    def next_run(self, schedule: Schedule) -> SafeString | str:
        return moment(schedule.next_fire_at)

    @admin.display(description=gettext_lazy("Last outcome"))
    def last_badge(self, schedule: Any) -> SafeString | str:
        return fire_mark(schedule.last_outcome) if schedule.last_outcome else "–"
