"""Admin pages of workflow runs: a list paged by key, and a page for each run with its graph and timeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.moments import moment
from tenants.console.polled_parts import etag_of, part_response
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from workloads.workflows.records.exceptions import WorkflowRunNotFoundError
from workloads.workflows.records.models import HEAVY_FIELDS, WorkflowRun
from workloads.workflows.records.offloading import value_of
from workloads.workflows.records.pages import SHOWN_NODES, run_page_context
from workloads.workflows.records.queries import RunFilter, find_nodes, find_runs, get_run, scan_runs
from workloads.workflows.records.records import SHOWN_STATES
from workloads.workflows.records.service import reveal_run
from workloads.workflows.records.wording import badge, seconds_in_words

BODY_TEMPLATE = "workflow_storage/admin/run_body.html"


class WorkflowRunStateFilter(admin.SimpleListFilter):
    """Filter of runs by their shown state, which may come from the state of the run's job."""

    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, gettext(state)) for state in SHOWN_STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        state = self.value()
        return queryset.filter(RunFilter(states=(state,)).condition()) if state in SHOWN_STATES else queryset


@admin.register(WorkflowRun, site=console_site)
class WorkflowRunAdmin(KeysetAdmin):
    """Read-only admin page of workflow runs, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("run", "state_badge", "job", "steps", "tokens", "started", "took", "error")
    list_display_links = ("run",)
    list_filter = (WorkflowRunStateFilter,)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of a run, of its job or of its workflow")
    post_actions = ("reveal",)
    empty_title = gettext_lazy("No workflow runs yet")
    empty_text = gettext_lazy(
        "A run appears here when its job has started. Runs are kept as long as their jobs; the plan sets how long."
    )

    def is_look_bounded(self, request: HttpRequest) -> bool:
        state = request.GET.get("state", "")
        return state in SHOWN_STATES and not request.GET.get("q") and scan_runs(RunFilter((state,))) is not None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        runs = find_runs().defer(*HEAVY_FIELDS)
        return runs.select_related("tenant") if self.access(request).sees_all_tenants else runs

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the runs whose id, job id or workflow id is the search term.

        An index serves each of these conditions.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = parse_uuid(term)
        if wanted is None:
            return queryset.none(), False
        return queryset.filter(Q(pk=wanted) | Q(job_id=wanted) | Q(workflow_id=wanted)), False

    def get_urls(self) -> list[URLPattern]:
        body = self.guard(require_safe(self.body_view), Permission.JOBS_VIEW, cacheable=True)
        return [path("<uuid:object_id>/body/", body, name="workflow_storage_workflowrun_body"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of the run, in place of a form."""
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied  # runs are read-only
        shown = self._shown(object_id)
        body = render_to_string(BODY_TEMPLATE, shown, request)
        run = shown["run"]
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Workflow run %(pk)s") % {"pk": run.pk},
            "opts": self.opts,
            "run": run,
            "is_over": shown["is_over"],
            "run_body": body,
            "run_etag": etag_of(body),
            "post_actions": list(self._buttons(request, run)),
            "replay_url": self._replay_url(request, run) if shown["is_over"] else "",
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "workflow_storage/admin/run_page.html", context)

    def _replay_url(self, request: HttpRequest, run: WorkflowRun) -> str:
        """Return the URL of the page that replays an ended run; an empty string if there is none for the caller."""
        # The nodes of a pipeline's run count its entities, which are retried one by one.
        is_pipeline = any(node["type"] == "datasource" for node in (run.graph or {}).get("nodes", ()))
        may_replay = not is_pipeline and self.access(request).may(Permission.JOBS_SUBMIT) and not run.is_external
        return _url_if_known("admin:workflow_execution_workflow_replay", run.pk) if may_replay else ""

    def body_view(self, request: HttpRequest, object_id: Any) -> HttpResponseBase:
        """Return the HTML of that part of the page which changes while the run continues."""
        return part_response(request, render_to_string(BODY_TEMPLATE, self._shown(str(object_id)), request))

    def _shown(self, object_id: str) -> dict[str, Any]:
        run_id = parse_uuid(object_id)
        if run_id is None:
            raise Http404(WorkflowRunNotFoundError.title)
        try:
            context = run_page_context(run_id)
        except WorkflowRunNotFoundError as error:
            raise Http404(error.detail) from error
        return context | {"job_url": job_url(context["run"])}

    @post_action(
        label=gettext_lazy("Reveal values"),
        consequence=gettext_lazy("The values are shown once, and the audit log records that you have seen them."),
        permission=Permission.JOBS_REVEAL,
        asks_reason=True,
    )
    def reveal(self, request: HttpRequest, run: WorkflowRun, reason: str) -> HttpResponse:
        """Show the values of a run in the response to this POST only, so that they are in no URL, cache or message."""
        reveal_run(run_id=run.pk, reason=reason)
        whole = get_run(run.pk)
        nodes = find_nodes(run.pk).order_by("id")[:SHOWN_NODES]
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Values of workflow run %(pk)s") % {"pk": run.pk},
            "opts": self.opts,
            "run": whole,
            "values": [(name, _content(whole, name, is_whole=True)) for name in ("inputs", "outputs")],
            "nodes": [(node, _content(node, "inputs"), _content(node, "outputs")) for node in nodes],
        }
        response = TemplateResponse(request, "workflow_storage/admin/run_revealed.html", context)
        add_never_cache_headers(response)
        return response

    @admin.display(description=gettext_lazy("Run"))
    def run(self, run: WorkflowRun) -> SafeString:
        name = run.workflow_name or gettext("workflow")
        return format_html(
            "<b>{}</b> v{} <code class='console-quiet'>…{}</code>", name, run.workflow_version, str(run.pk)[-12:]
        )

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, run: Any) -> SafeString:
        return badge(run.shown_state)

    @admin.display(description=gettext_lazy("Job"))
    def job(self, run: WorkflowRun) -> SafeString | str:
        url, name = job_url(run), f"…{str(run.job_id)[-12:]}"
        return format_html('<a class="console-link" href="{}">{}</a>', url, name) if url else name

    @admin.display(description=gettext_lazy("Steps"))
    def steps(self, run: WorkflowRun) -> int:
        return run.total_steps

    @admin.display(description=gettext_lazy("Tokens"))
    def tokens(self, run: WorkflowRun) -> int:
        return run.total_tokens

    @admin.display(description=gettext_lazy("Started"))
    def started(self, run: WorkflowRun) -> SafeString | str:
        return moment(run.started_at)

    @admin.display(description=gettext_lazy("Duration"))
    def took(self, run: WorkflowRun) -> str:
        return seconds_in_words(run.elapsed_seconds)

    @admin.display(description=gettext_lazy("Error"))
    def error(self, run: Any) -> str:
        return run.shown_error_code or "–"


def job_url(run: WorkflowRun) -> str:
    """Return the URL of the page of a run's job; an empty string in a console without the scheduler's pages."""
    return _url_if_known("admin:scheduling_job_change", run.job_id)


def _url_if_known(name: str, key: UUID) -> str:
    try:
        return reverse(name, args=[key])
    except NoReverseMatch:
        return ""


def _content(row: Any, name: str, *, is_whole: bool = False) -> Any:
    value = value_of(row, name)
    if value is None:
        return None
    return value.read_or_preview() if is_whole else value.content
