"""The console's page of job kinds: each with its description, its schema and an example request."""

from __future__ import annotations

import json
from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_safe

from scheduling.alerts.panels import read_panels
from scheduling.alerts.rules import Per
from scheduling.jobs.kinds.service import JobKind, list_job_kinds
from scheduling.models import Resource
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.site import console_site
from tenants.context import current_tenant_id

MEMORY_WORDS = {"small": gettext_noop("small"), "medium": gettext_noop("medium"), "large": gettext_noop("large")}
TEMPLATE = "scheduling/dashboards/job_kinds.html"


@require_safe
def job_kinds_page(request: HttpRequest) -> HttpResponse:
    """Show the installed job kinds, with the queues that routing gives the user's tenant."""
    access = access_of(request)
    kinds = list_job_kinds(tenant=access.tenant)
    panels = read_panels(access, Per.KIND, [kind.kind for kind in kinds], tenant_id=current_tenant_id())
    context = console_site.each_context(request) | {
        "may_submit": access.may(Permission.JOBS_SUBMIT),
        "rows": [
            (_told(kind), json.dumps(kind.payload_schema, indent=2, ensure_ascii=False), panels.get(kind.kind))
            for kind in kinds
        ],
    }
    return render(request, TEMPLATE, context)


def _told(kind: JobKind) -> JobKind:
    """Return the kind translated, if a processor of the platform declares it."""
    description = gettext(kind.description) if kind.description else ""
    memory = gettext(MEMORY_WORDS.get(kind.memory_class, kind.memory_class))
    needs = [str(Resource(name).label) for name in kind.needs]
    return replace(kind, title=gettext(kind.title), description=description, memory_class=memory, needs=needs)
