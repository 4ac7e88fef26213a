"""Fairness explorer of the console: slots used and entitled to over time, and why each job was dispatched next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from scheduling.models import Queue
from scheduling.shares.charts import draw_index, draw_share, tabulate
from scheduling.shares.decisions import read_decisions
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.shares.virtual_times import read_virtual_times
from tenants.access.caller import access_of
from tenants.console.exports import api_export_url
from tenants.console.polled_parts import etag_of, part_response
from tenants.console.site import console_site
from tenants.models import Tenant

PAGE_TEMPLATE = "scheduling/dashboards/fairness.html"
BODY_TEMPLATE = "scheduling/dashboards/fairness_body.html"
SPANS = {
    HistorySpan.RECENT: _("Last 10 minutes"),
    HistorySpan.HOUR: _("Last hour"),
    HistorySpan.SIX_HOURS: _("Last 6 hours"),
    HistorySpan.DAY: _("Last 24 hours"),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """Link that chooses one value, such as a time range."""

    label: Any
    link: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class SharesChoice:
    """Values chosen in the URL, without unknown names; the decisions of ``tenant`` are shown."""

    span: HistorySpan
    queues: list[Queue]
    pool: str
    queue: str
    tenant: Tenant | None
    is_table: bool
    sees_all: bool

    @property
    def chosen_queues(self) -> list[Queue] | None:
        """Return the queues that the page covers; None for all."""
        if not self.pool and not self.queue:
            return None
        return [row for row in self.queues if self.pool in ("", row.pool.name) and self.queue in ("", row.name)]

    @property
    def query(self) -> dict[str, str]:
        """Return the chosen values as URL parameters."""
        tenant = self.tenant.slug if self.tenant and self.sees_all else ""
        view = "table" if self.is_table else ""
        values = {"range": self.span.value, "pool": self.pool, "queue": self.queue, "tenant": tenant, "view": view}
        return {name: value for name, value in values.items() if value}

    def link(self, **changed: str) -> str:
        """Return the page's query string with these values changed."""
        return "?" + urlencode({name: value for name, value in (self.query | changed).items() if value})

    def chips(self) -> dict[str, list[Chip]]:
        """Return the links for the range and, for users who see all tenants, for pool and queue."""
        ranges = [Chip(label, self.link(range=span.value), span == self.span) for span, label in SPANS.items()]
        if not self.sees_all:
            return {"ranges": ranges}
        pools = sorted({row.pool.name for row in self.queues})
        names = [row.name for row in self.queues if self.pool in ("", row.pool.name)]
        return {
            "ranges": ranges,
            "pools": [
                Chip(_("All pools"), self.link(pool="", queue=""), not self.pool),
                *(Chip(name, self.link(pool=name, queue=""), name == self.pool) for name in pools),
            ],
            "queues": [
                Chip(_("All queues"), self.link(queue=""), not self.queue),
                *(Chip(name, self.link(queue=name), name == self.queue) for name in names),
            ],
        }


@require_safe
def fairness_page(request: HttpRequest) -> HttpResponse:
    """Show the fairness explorer."""
    choice = _choose(request)
    body = _render_body(request, choice)
    own = access_of(request).tenant
    context = console_site.each_context(request) | {
        "scope_name": own.name if own else _("All tenants"),
        "chips": choice.chips(),
        "fairness_body": body,
        "fairness_etag": etag_of(body),
        "query": urlencode(choice.query),
        "export_url": api_export_url(
            "fairness", {name: value for name, value in choice.query.items() if name in ("range", "pool", "queue")}
        ),
    }
    return render(request, PAGE_TEMPLATE, context)


@require_safe
def fairness_fragment(request: HttpRequest) -> HttpResponseBase:
    """Return only the HTML of the body; answer 304 if the browser's copy is current."""
    return part_response(request, _render_body(request, _choose(request)))


def _choose(request: HttpRequest) -> SharesChoice:
    access = access_of(request)
    asked = {name: request.GET.get(name, "") for name in ("range", "pool", "queue", "tenant", "view")}
    queues = list(Queue.objects.select_related("pool").order_by("pool__name", "name"))
    pools, names = {row.pool.name for row in queues}, {row.name for row in queues}
    chosen = Tenant.objects.filter(slug=asked["tenant"][:100]).first() if asked["tenant"] else None
    sees_all = access.sees_all_tenants
    return SharesChoice(
        span=HistorySpan(asked["range"]) if asked["range"] in list(HistorySpan) else HistorySpan.HOUR,
        queues=queues,
        pool=asked["pool"] if sees_all and asked["pool"] in pools else "",
        queue=asked["queue"] if sees_all and asked["queue"] in names else "",
        tenant=access.tenant or chosen,
        is_table=asked["view"] == "table",
        sees_all=sees_all,
    )


def _render_body(request: HttpRequest, choice: SharesChoice) -> str:
    queues = choice.chosen_queues
    history = read_share_history(choice.span, queues=queues)
    decisions = read_decisions(choice.tenant.pk, queues=queues) if choice.tenant else []
    context: dict[str, Any] = {
        "choice": choice,
        "history": history,
        "bin_minutes": history.bin_length.total_seconds() // 60,
        "table_link": choice.link(view="" if choice.is_table else "table"),
        "tenant_links": {line.slug: choice.link(tenant=line.slug) for line in history.lines},
        "virtual_times": read_virtual_times(choice.queues if queues is None else queues),
        "decisions": [(decision, _queue_name(choice, decision.queue_id)) for decision in decisions],
    }
    if choice.is_table:
        context["table"] = tabulate(history)
    else:
        context |= {"charts": [draw_share(line) for line in history.lines], "index_chart": draw_index(history)}
    return render_to_string(BODY_TEMPLATE, context, request)


def _queue_name(choice: SharesChoice, queue_id: int) -> str:
    return next((row.name for row in choice.queues if row.pk == queue_id), "–")
