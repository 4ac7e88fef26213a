"""Page of the heat map, and its part on the overview; each cell links to the jobs of its hours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from scheduling.console.links import investigate_url, kind_link, queue_link, worker_link
from scheduling.models import SeriesHour
from scheduling.statistics.heat_map import (
    HeatCell,
    HeatChoice,
    HeatMap,
    HeatMeasure,
    HeatRow,
    HeatSpan,
    may_show,
    read_heat,
)
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.links import tenant_link
from tenants.console.polled_parts import CachedPart, Fragment, part_response
from tenants.console.site import console_site
from tenants.models import Tenant

PAGE_TEMPLATE = "scheduling/dashboards/heat_map.html"
PART_TEMPLATE = "scheduling/dashboards/parts/heat_map.html"
_kept = CachedPart("heat_map")
Rows = SeriesHour.Scope


@require_safe
def heat_page(request: HttpRequest) -> HttpResponse:
    """Show the heat map with the choice of its measure, rows and time."""
    choice, is_table = _choose(request)
    fragment, query = _part(request, choice, is_table=is_table), _query(choice, is_table=is_table)
    rows = [row for row in Rows if may_show(row, choice.tenant, access_of(request))]
    context = console_site.each_context(request) | {
        "scope_name": choice.tenant.name if choice.tenant else _("All tenants"),
        "choice": choice,
        "is_table": is_table,
        "chips": [
            _chips(query, "measure", HeatMeasure, choice.measure),
            _chips(query, "rows", rows, choice.rows),
            _chips(query, "range", HeatSpan, choice.span),
        ],
        "heat_body": fragment.body,
        "heat_etag": fragment.etag,
        "query": urlencode(query),
        "table_link": "?" + urlencode(query | {"view": "" if is_table else "table"}),
    }
    return render(request, PAGE_TEMPLATE, context)


@require_safe
def heat_fragment(request: HttpRequest) -> HttpResponseBase:
    """Return the HTML of the map, or of its table with ``view=table``; answer 304 if the browser's copy is current."""
    choice, is_table = _choose(request)
    part = _part(request, choice, is_table=is_table)
    return part_response(request, part.body, etag=part.etag)


def _choose(request: HttpRequest) -> tuple[HeatChoice, bool]:
    """Return the choice of the URL without unknown values, and whether it is shown as a table."""
    asked = {name: request.GET.get(name, "") for name in ("measure", "rows", "range", "tenant")}
    tenant = access_of(request).tenant
    if tenant is None and asked["tenant"]:
        tenant = Tenant.objects.filter(slug=asked["tenant"][:100]).first()
    rows = Rows(asked["rows"]) if asked["rows"] in Rows else Rows.KIND
    choice = HeatChoice(
        measure=HeatMeasure(asked["measure"]) if asked["measure"] in HeatMeasure else HeatMeasure.ENDED,
        rows=rows if may_show(rows, tenant, access_of(request)) else Rows.KIND,
        span=HeatSpan(asked["range"]) if asked["range"] in HeatSpan else HeatSpan.DAY,
        tenant=tenant,
    )
    return choice, request.GET.get("view") == "table"


def _query(choice: HeatChoice, *, is_table: bool) -> dict[str, str]:
    tenant = choice.tenant.slug if choice.tenant else ""
    view = "table" if is_table else ""
    chosen = {"measure": choice.measure.value, "rows": choice.rows.value, "range": choice.span.value}
    return chosen | {"tenant": tenant, "view": view}


def _part(request: HttpRequest, choice: HeatChoice, *, is_table: bool) -> Fragment:
    may_investigate = access_of(request).may(Permission.AUDIT_VIEW)
    variant = urlencode(_query(choice, is_table=is_table) | {"links": may_investigate})
    return _kept.get(partial(_render, choice, is_table=is_table, may_investigate=may_investigate), variant=variant)


def _chips(query: Mapping[str, str], name: str, values: Any, chosen: str) -> list[dict[str, Any]]:
    return [
        {"label": value.label, "link": "?" + urlencode({**query, name: value.value}), "is_chosen": value == chosen}
        for value in values
    ]


def _render(choice: HeatChoice, *, is_table: bool, may_investigate: bool) -> SafeString:
    heat = read_heat(choice)
    rows = [
        (
            row,
            _row_link(heat, row),
            [
                (cell, cell_link(heat, row.name, cell), _investigate_link(heat, row.name, cell) * may_investigate)
                for cell in row.cells
            ],
        )
        for row in heat.rows
    ]
    return render_to_string(
        PART_TEMPLATE, {"heat": heat, "rows": rows, "is_table": is_table, "may_investigate": may_investigate}
    )


def _row_link(heat: HeatMap, row: HeatRow) -> SafeString | str:
    """Return the label of a row as a link to the page of its kind, queue, tenant or worker."""
    if heat.choice.rows == Rows.TENANT:
        return tenant_link(row.name, row.label)
    if heat.choice.rows == Rows.WORKER:
        return worker_link(UUID(row.name), row.label)
    return kind_link(row.name) if heat.choice.rows == Rows.KIND else queue_link(row.name)


def _investigate_link(heat: HeatMap, name: str, cell: HeatCell) -> str:
    """Return the link to investigate a cell of a kind, queue or tenant in its hours."""
    if not cell.value or heat.choice.rows == Rows.WORKER:
        return ""
    subject = {"tenant": heat.choice.tenant.slug} if heat.choice.tenant else {}
    hours = {"began_at": f"{cell.since:%FT%TZ}", "ended_at": f"{cell.until:%FT%TZ}"}
    return investigate_url(**subject, **{heat.choice.rows.value: name}, **hours)


def cell_link(heat: HeatMap, name: str, cell: HeatCell) -> str:
    """Return the link to the jobs of a cell, those that were created in its hours; of a worker, to its page."""
    choice = heat.choice
    if not cell.value:
        return ""
    if choice.rows == Rows.WORKER:
        return reverse("admin:scheduling_worker_change", args=[name])
    terms = [f"{choice.rows.value}:{name}", f"created:>={cell.since:%Y-%m-%dT%H:%M:%SZ}"]
    terms.append(f"created:<{cell.until:%Y-%m-%dT%H:%M:%SZ}")
    if choice.tenant is not None:
        terms.append(f"tenant:{choice.tenant.slug}")
    if choice.measure == HeatMeasure.FAILURES:
        terms.append("state:discarded,quarantined")
    return f"{reverse('admin:scheduling_job_changelist')}?{urlencode({'q': ' '.join(terms)})}"
