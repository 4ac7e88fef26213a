"""Console views of a job's log: its newest lines, updated while the job runs, and the whole log as a file."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from scheduling.execution.logs.queries import read_log_end, stream_log
from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.queries import find_jobs
from scheduling.models import Job
from scheduling.tenant_settings import LOG_LEVEL
from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.polled_parts import etag_of, part_response
from tenants.database.reads import first_or_raise
from tenants.settings.schema import tenant_setting

SHOWN_LINES = 200
LOG_TEMPLATE = "scheduling/dashboards/parts/job_log.html"


class JobLogPages(KeysetAdmin):
    """A mixin for the admin of jobs: the log panel of a job's page, and views for its lines and for a download."""

    def get_urls(self) -> list[URLPattern]:
        part = self.guard(require_safe(self.log_view), Permission.LOGS_VIEW, cacheable=True)
        file = self.guard(require_safe(self.log_download_view), Permission.LOGS_VIEW)
        return [
            path("<uuid:object_id>/log/", part, name="scheduling_job_log"),
            path("<uuid:object_id>/log/download/", file, name="scheduling_job_log_download"),
            *super().get_urls(),
        ]

    def log_context(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """Return the template context of the log panel; empty if the user may not read logs."""
        if not self.access(request).may(Permission.LOGS_VIEW):
            return {}
        part = self._log_part(request, job)
        chosen = _chosen(request, job)
        address = reverse("admin:scheduling_job_log", args=[job.id])
        is_live = not job.is_terminal and "log_before" not in request.GET
        return {
            "log_part": part,
            "log_etag": etag_of(part),
            "log_url": f"{address}?{urlencode(chosen)}",
            "log_is_live": is_live,
            "log_levels": [{"name": name, "is_chosen": name == chosen["log_level"]} for name in LEVELS],
        }

    def log_view(self, request: HttpRequest, object_id: UUID) -> HttpResponseBase:
        """Render only the lines of the panel; answer 304 if the browser's copy is current."""
        return part_response(request, self._log_part(request, _job(object_id)))

    def log_download_view(self, request: HttpRequest, object_id: UUID) -> HttpResponseBase:
        """Stream the whole log as text."""
        job = _job(object_id)
        before_page = partial(require_still_authorized, request, Permission.LOGS_VIEW)
        response = StreamingHttpResponse(
            stream_log(job, before_page=before_page), content_type="text/plain; charset=utf-8"
        )
        response.headers["Content-Disposition"] = f'attachment; filename="job-{job.id}.log"'
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def _log_part(self, request: HttpRequest, job: Job) -> SafeString:
        chosen = _chosen(request, job)
        before = parse_uuid(request.GET.get("log_before", ""))
        page = read_log_end(job, before=before, level=LEVELS[chosen["log_level"]], limit=SHOWN_LINES)
        older = urlencode(chosen | {"log_before": str(page.lines[0].id)}) if page.has_more else ""
        stored = tenant_setting(job.tenant_id, LOG_LEVEL.key)
        context = {"job": job, "page": page, "older_query": older, "is_filtered": chosen["log_level"] != stored}
        return render_to_string(LOG_TEMPLATE, context, request)


def _chosen(request: HttpRequest, job: Job) -> dict[str, str]:
    """Return the chosen lowest level, by default that from which the tenant's lines are stored."""
    level = request.GET.get("log_level", "")
    return {"log_level": level if level in LEVELS else tenant_setting(job.tenant_id, LOG_LEVEL.key)}


def _job(job_id: UUID) -> Job:
    return first_or_raise(find_jobs().filter(pk=job_id), Http404(gettext("There is no such job.")))
