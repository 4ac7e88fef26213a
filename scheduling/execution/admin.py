"""Read-only console pages of executions, job events and charges."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from scheduling.console.filters import KindFilter, OutcomeFilter, QueueFilter, TenantFilter
from scheduling.console.links import job_link
from scheduling.console.tags import badge, told_facts
from scheduling.console.wording import duration_words
from scheduling.jobs.history import OUTPUT_EVENT
from scheduling.models import Charge, Execution, JobEvent, LiveExecution
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.site import console_site


class HistoryAdmin(KeysetAdmin):
    """Base of the console's lists of rows about jobs that are written once."""

    empty_text = gettext_lazy("Rows appear while jobs run. Submit a job, and start a dispatcher and a worker.")

    list_select_related: tuple[str, ...] = ("queue",)
    walked_filters = frozenset({"outcome", "kind", "queue"})

    @admin.display(description=gettext_lazy("Job"))
    def of_job(self, row: Execution | LiveExecution | JobEvent | Charge) -> SafeString | str:
        return job_link(row.job_id)


@admin.register(Execution, site=console_site)
class ExecutionAdmin(HistoryAdmin):
    """The console's list of ended executions, with their cost."""

    # The detail page shows the traceback.
    empty_title = gettext_lazy("No executions have ended yet")
    view_permission = Permission.LOGS_VIEW
    list_display = (
        "number",
        "how",
        "kind",
        "of_job",
        "queue",
        "measured",
        "predicted",
        "cpu",
        "ended_at",
        "error_type",
    )
    list_filter = (OutcomeFilter, KindFilter, QueueFilter, TenantFilter)
    export_fields = (
        *("number", "outcome", "kind", "job_id", "queue", "measured_us", "predicted_us", "cpu_us", "peak_memory_kib"),
        *("io_bytes", "started_at", "ended_at", "error_type"),
    )
    exclude = ("job", "measured_us", "predicted_us", "cpu_us", "outcome")
    readonly_fields = ("how", "of_job", "measured", "predicted", "cpu")

    @admin.display(description=gettext_lazy("Outcome"))
    def how(self, execution: Execution) -> SafeString:
        return badge(execution.outcome)

    @admin.display(description=gettext_lazy("Measured"))
    def measured(self, execution: Execution) -> str:
        return duration_words(execution.measured_us / 1_000_000)

    @admin.display(description=gettext_lazy("Predicted"))
    def predicted(self, execution: Execution) -> str:
        return duration_words(execution.predicted_us / 1_000_000)

    @admin.display(description=gettext_lazy("Processor time"))
    def cpu(self, execution: Execution) -> str | None:
        return None if execution.cpu_us is None else duration_words(execution.cpu_us / 1_000_000)


@admin.register(LiveExecution, site=console_site)
class LiveExecutionAdmin(HistoryAdmin):
    """The console's list of executions in flight."""

    empty_title = gettext_lazy("No jobs in flight")
    empty_text = gettext_lazy("An execution is listed from its dispatch until it ends.")

    view_permission = Permission.JOBS_VIEW
    list_title = gettext_lazy("In flight")
    list_display = ("number", "phase_badge", "kind", "of_job", "queue", "dispatched_at", "started_at")
    list_filter = (KindFilter, QueueFilter, TenantFilter)
    # The token lets its holder start the execution: it is for the worker alone.
    exclude = ("job", "token", "predicted_us", "whole_us")
    hidden_fields = frozenset({"token"})
    readonly_fields = ("phase_badge", "of_job", "predicted")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show the execution; redirect to its page among the ended ones, or to its job's, if it has ended since."""
        wanted = parse_uuid(object_id or "")
        if wanted and self.has_view_permission(request) and not LiveExecution.objects.filter(pk=wanted).exists():
            ended = Execution.objects.filter(pk=wanted).only("id", "job_id").first()
            if ended is not None:
                may_trace = self.access(request).may(Permission.LOGS_VIEW)
                page, key = ("execution", ended.pk) if may_trace else ("job", ended.job_id)
                return HttpResponseRedirect(reverse(f"admin:scheduling_{page}_change", args=[key]))
        return super().changeform_view(request, object_id, *args, **kwargs)

    @admin.display(description=gettext_lazy("Phase"))
    def phase_badge(self, execution: LiveExecution) -> SafeString:
        return badge(execution.phase)

    @admin.display(description=gettext_lazy("Predicted"))
    def predicted(self, execution: LiveExecution) -> str:
        return duration_words(execution.expected_us / 1_000_000)


@admin.register(JobEvent, site=console_site)
class JobEventAdmin(HistoryAdmin):
    """The console's list of state changes of jobs."""

    empty_title = gettext_lazy("No events yet")
    view_permission = Permission.JOBS_VIEW
    list_display = ("name", "state_badge", "of_job", "at", "actor")
    list_select_related = ()
    list_filter = (TenantFilter,)
    exclude = ("job", "state", "data")
    readonly_fields = ("state_badge", "of_job", "facts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        changes: QuerySet[JobEvent] = super().get_queryset(request).exclude(name=OUTPUT_EVENT)
        return changes

    @admin.display(description=gettext_lazy("Data"))
    def facts(self, event: JobEvent) -> str:
        return json.dumps(told_facts(event.data), ensure_ascii=False)

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, event: JobEvent) -> SafeString:
        return badge(event.state)


@admin.register(Charge, site=console_site)
class ChargeAdmin(HistoryAdmin):
    """The console's list of the ledger.

    A dispatch is charged the job's predicted time at the rate of its pool, which its end corrects to the measured time.
    """

    empty_title = gettext_lazy("No charges yet")
    view_permission = Permission.TENANT_VIEW
    list_title = gettext_lazy("Charge ledger")
    list_display = ("amount", "reason", "of_job", "queue", "at")
    export_fields = (*("microseconds", "reason", "job_id", "queue", "at", "cpu_us", "peak_memory_kib", "io_bytes"),)
    list_filter = (QueueFilter, TenantFilter)
    exclude = ("job",)
    readonly_fields = ("of_job", "amount")

    @admin.display(description=gettext_lazy("Charged time"))
    def amount(self, charge: Charge) -> str:
        return f"{charge.microseconds / 1_000_000:+.6f} s"
