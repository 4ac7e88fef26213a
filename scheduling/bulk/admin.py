"""Console pages of bulk operations: preview and start, progress, abort and undo."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from scheduling.bulk.forms import FIELD_OF, BulkForm
from scheduling.bulk.page import bulk_row, what_words
from scheduling.bulk.parsing import OF_FILTERS, permission_of
from scheduling.bulk.queries import find_operations
from scheduling.bulk.starting import BulkPlan, plan_bulk_operation, start_bulk_operation
from scheduling.bulk.stopping import abort_bulk_operation, undo_bulk_operation
from scheduling.console.filters import TenantFilter
from scheduling.console.tags import badge
from scheduling.jobs.filters import FIELDS
from scheduling.jobs.filters.terms import write_value
from scheduling.models import BulkOperation
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.audit.filters import actor_label
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.polled_parts import etag_of, part_response
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.clock import read_moment
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.identity.step_up import ask_for_factor

BODY_TEMPLATE = "scheduling/dashboards/bulk_body.html"
START_TEMPLATE = "scheduling/dashboards/bulk_start.html"
# Parameters of the job list: its query box, and others named like a filter field.
QUERY = "q"


def start_links(access: Access, query: QueryDict) -> list[tuple[str, str]]:
    """Return label and URL of each bulk operation that the user may start on the jobs of a filtered list.

    The list's query parameters become the filter of the operation.
    """
    if not access.may(Permission.JOBS_BULK):
        return []
    terms = [query.get(QUERY, "").strip()]
    terms += [f"{name}:{write_value(str(query[name]))}" for name in FIELDS if query.get(name)]
    text = " ".join(filter(None, terms))
    url, given = reverse("admin:scheduling_bulkoperation_start"), {"filter": text} if text else {}
    return [
        (str(BulkOperation.Operation(name).label), f"{url}?{urlencode({'operation': name, **given})}")
        for name in OF_FILTERS
        if access.may(permission_of(name))
    ]


@admin.register(BulkOperation, site=console_site)
class BulkOperationAdmin(KeysetAdmin):
    """Admin pages of the bulk operations in the current tenant context, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("what", "asked_filter", "state_badge", "progress", "started_by", "created_at")
    list_display_links = ("what",)
    list_filter = (TenantFilter,)
    list_before_template = "scheduling/dashboards/parts/bulk_links.html"
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of a bulk operation")
    change_form_before_template = "scheduling/dashboards/bulk_operation.html"
    empty_title = gettext_lazy("No bulk operations yet")
    empty_text = gettext_lazy(
        "Filter the list of jobs and choose a bulk action on these jobs, or start one with the button above."
    )
    fieldsets = (
        (None, {"fields": ("what", "asked_filter", "filter", "reason", "started_by")}),
        (gettext_lazy("Times"), {"fields": ("frozen_at", "created_at", "started_at", "finished_at")}),
    )
    readonly_fields = ("what", "state_badge", "progress", "started_by")
    post_actions = ("abort", "undo")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return find_operations()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        return (queryset.filter(pk=wanted) if wanted else queryset.none()) if search_term.strip() else queryset, False

    def get_urls(self) -> list[URLPattern]:
        start = self.guard(require_http_methods(["GET", "HEAD", "POST"])(self.start_view), Permission.JOBS_BULK)
        part = self.guard(require_safe(self.part_view), Permission.JOBS_VIEW)
        return [
            path("start/", start, name="scheduling_bulkoperation_start"),
            path("<uuid:pk>/part/", part, name="scheduling_bulkoperation_part"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {**(extra_context or {}), "may_start": self.access(request).may(Permission.JOBS_BULK)}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if object_id is not None and self.has_view_permission(request):
            operation = self.get_object(request, object_id)
            if operation is not None:
                body = _render_body(request, operation)
                context |= {"operation": operation, "body": body, "body_etag": etag_of(body)}
        return super().changeform_view(request, object_id, form_url, context)

    def part_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Return the HTML of the part of the page that the browser refreshes while the operation runs."""
        operation = first_or_raise(self.get_queryset(request).filter(pk=pk), Http404)
        response = part_response(request, _render_body(request, operation))
        if not operation.is_open:
            # The times and the actions around the part have changed too.
            response.headers["HX-Refresh"] = "true"
        return response

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form and a preview of the operation; start it if "run" was posted."""
        access = self.access(request)
        operations = [name for name in OF_FILTERS if access.may(permission_of(name))]
        given = request.POST if request.method == "POST" else request.GET
        # A link to an operation that needs a value is no preview yet.
        needed = FIELD_OF.get(str(given.get("operation", "")), "payload_patch")
        is_complete = request.method == "POST" or needed == "payload_patch" or needed in given
        is_bound = "filter" in given and "operation" in given and is_complete
        reveals = access.may(Permission.JOBS_REVEAL)
        if reveals and request.POST.get("payload_patch") and (asked := ask_for_factor(request, Permission.JOBS_REVEAL)):
            return asked
        form = BulkForm(given if is_bound else None, initial=given.dict(), operations=operations, may_edit=reveals)
        plan: BulkPlan | None = None
        if is_bound and form.is_valid():
            try:
                if request.method == "POST" and "run" in request.POST:
                    return self._start(request, form)
            except DomainError as refusal:
                form.add_error("number" if refusal.code == "bulk_number" else None, refusal.detail)
            plan = self._plan(form)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Bulk action on all jobs of a filter"),
            "opts": self.opts,
            "form": form,
            "plan": plan,
            "sample": [(item.job, item.refusal_words(reveals=reveals)) for item in plan.sample] if plan else [],
        }
        response = TemplateResponse(request, START_TEMPLATE, context, status=422 if form.errors else 200)
        # The form may contain a payload patch.
        add_never_cache_headers(response)
        return response

    def _start(self, request: HttpRequest, form: BulkForm) -> HttpResponse:
        given = form.cleaned_data
        operation = start_bulk_operation(
            **form.asked, reason=given["reason"], number=given["number"], ticket=given["ticket"]
        )
        messages.success(request, _("The bulk operation has started."))
        return HttpResponseRedirect(self._page_of(operation))

    def _plan(self, form: BulkForm) -> BulkPlan | None:
        try:
            plan = plan_bulk_operation(**form.asked)
        except DomainError as refusal:
            if not form.non_field_errors():
                form.add_error(None, refusal.detail)
            return None
        form.put_ticket(plan.ticket)
        return plan

    @post_action(
        label=gettext_lazy("Abort"),
        consequence=gettext_lazy(
            "The operation stops after the present chunk. Jobs that are already changed stay changed."
        ),
        permission=Permission.JOBS_BULK,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda operation: operation.is_open and operation.operation in OF_FILTERS,
    )
    def abort(self, request: HttpRequest, operation: BulkOperation, reason: str) -> str:
        abort_bulk_operation(operation_id=operation.pk, reason=reason)
        return _("The bulk operation is aborted. Jobs that it has changed stay changed.")

    @post_action(
        label=gettext_lazy("Undo"),
        consequence=gettext_lazy("A new operation restores the former values, except of jobs that have changed since."),
        permission=Permission.JOBS_BULK,
        asks_reason=True,
        is_offered=lambda operation: operation.is_undoable,
    )
    def undo(self, request: HttpRequest, operation: BulkOperation, reason: str) -> HttpResponse:
        undoing = undo_bulk_operation(operation_id=operation.pk, reason=reason)
        messages.success(request, _("The undo has started."))
        return HttpResponseRedirect(self._page_of(undoing))

    @admin.display(description=gettext_lazy("Operation"))
    def what(self, operation: BulkOperation) -> str:
        return what_words(operation)

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, operation: BulkOperation) -> SafeString:
        return badge(f"bulk_{operation.state}")

    @admin.display(description=gettext_lazy("Done"))
    def progress(self, operation: BulkOperation) -> str:
        more = "+" if operation.is_expected_capped else ""
        return f"{operation.seen:,} / {operation.expected:,}{more}"

    @admin.display(description=gettext_lazy("Started by"))
    def started_by(self, operation: BulkOperation) -> str:
        return actor_label(operation)


def _render_body(request: HttpRequest, operation: BulkOperation) -> str:
    context = {
        "line": bulk_row(operation, read_moment()),
        "operation": operation,
        "mark": badge(f"bulk_{operation.state}"),
        "ineligible": sorted(operation.ineligible.items()),
    }
    return render_to_string(BODY_TEMPLATE, context, request)
