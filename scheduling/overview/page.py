"""Overview page of the console: its numbers are rendered with the page, its shares are loaded afterwards.

Both are refreshed in the open page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from scheduling.alerts.panels import SHOWN, banners_of
from scheduling.alerts.queries import firing_alerts
from scheduling.anomalies.detector import Measure
from scheduling.anomalies.words import read_bands
from scheduling.bulk.page import bulk_row
from scheduling.console.wording import circuit_words
from scheduling.diagnosis.starts import stall_watch
from scheduling.fleet.queries import find_foreign_process
from scheduling.load.queries import list_loaded
from scheduling.overview.queries import Overview, read_overview, read_shares
from scheduling.overview.tiles import build_tiles, window_words
from scheduling.sites.queries import find_site_fault, standby_words
from scheduling.statistics.minute_charts import Band, draw_ended, draw_strip, draw_waits, minute_rows
from scheduling.statistics.throughput import MINUTES
from scheduling.topology.queue_rows import QueueRow
from scheduling.upkeep.status import find_upkeep_warnings
from tenants.access.caller import access_of
from tenants.access.key_queries import ending_keys
from tenants.access.permissions import Permission
from tenants.console.polled_parts import CachedPart, Fragment, fragment_of, part_response
from tenants.context import require_scope
from tenants.database.write_probe import localize_write_fault, write_watch

BODY_TEMPLATE = "scheduling/dashboards/overview_body.html"
SHARES_TEMPLATE = "scheduling/dashboards/overview_shares.html"
_kept_body, _kept_shares = CachedPart("overview"), CachedPart("shares")


# The shorter range of the charts; the longer one is that of the rollups that the page reads.
SHORT_MINUTES = 15


@dataclass(frozen=True, slots=True)
class OverviewChoice:
    """Values chosen in the URL: queue and minutes of the charts, and whether their numbers are shown as a table."""

    queue: str
    is_table: bool
    minutes: int = MINUTES

    @classmethod
    def of(cls, request: HttpRequest) -> OverviewChoice:
        minutes = SHORT_MINUTES if request.GET.get("minutes") == str(SHORT_MINUTES) else MINUTES
        return cls(request.GET.get("queue", "")[:60], request.GET.get("view") == "table", minutes)

    def link(self, **changed: str) -> str:
        """Return the query string of the page with these values changed."""
        minutes = str(self.minutes) if self.minutes != MINUTES else ""
        values = {"queue": self.queue, "view": "table" if self.is_table else "", "minutes": minutes, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})


# Expiring keys named in the banner.
SHOWN_KEYS = 5
EVERYTHING = OverviewChoice("", is_table=False)


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the context of unfold's dashboard what the user may do and, with `jobs.view`, the body and its ETag."""
    access = access_of(request)
    context["scope_name"] = access.tenant.name if access.tenant else _("All tenants")
    context["may_submit"] = access.may(Permission.JOBS_SUBMIT)
    # Platform staff in the scope of all tenants find these keys on the page of API keys.
    if access.tenant and access.may(Permission.API_KEYS_MANAGE):
        context["ending_keys"] = ending_keys(timezone.now())[:SHOWN_KEYS]
    if access.may(Permission.JOBS_VIEW):
        part = _part_of(request)
        choice = OverviewChoice.of(request)
        context |= {
            "overview_body": part.body,
            "overview_etag": part.etag,
            "query": choice.link(),
        }
    return context


@require_safe
def overview_fragment(request: HttpRequest) -> HttpResponseBase:
    """Return only the HTML of the numbers; answer 304 if the browser's copy is current."""
    part = _part_of(request)
    return part_response(request, part.body, etag=part.etag)


@require_safe
def shares_fragment(request: HttpRequest) -> HttpResponseBase:
    """Return the HTML of alerts, shares and the last changes; answer 304 if the browser's copy is current."""
    part = _kept_shares.get(_render_shares)
    return part_response(request, part.body, etag=part.etag)


def _render_shares() -> SafeString:
    banners = banners_of(firing_alerts(limit=SHOWN))
    context = {"alert_banners": banners, "shares": read_shares(), "window_words": _("%d min") % 10}
    return render_to_string(SHARES_TEMPLATE, context)


def _part_of(request: HttpRequest) -> Fragment:
    """Return the HTML of the numbers, from a cache that users share unless a queue or the table view is chosen."""
    choice, may_abort_bulk = OverviewChoice.of(request), access_of(request).may(Permission.JOBS_BULK)
    draw = partial(_render_body, choice, may_abort_bulk=may_abort_bulk)
    if choice != EVERYTHING:
        return fragment_of(draw())
    return _kept_body.get(draw, variant="bulk" if may_abort_bulk else "")


def _render_body(choice: OverviewChoice, *, may_abort_bulk: bool) -> SafeString:
    overview = read_overview()
    chosen = next((line for line in overview.queues if line.queue.name == choice.queue), None)
    strip, strip_summary = draw_strip(overview)
    rows = minute_rows(overview, chosen.queue.pk if chosen else None)[-choice.minutes :]
    bands = _read_bands(chosen, [row.at for row in rows])
    context = {
        "overview": overview,
        "tiles": build_tiles(overview),
        "bulk_lines": [bulk_row(operation, overview.now) for operation in overview.bulk_operations],
        "may_abort_bulk": may_abort_bulk,
        "strip": strip,
        "strip_summary": strip_summary,
        "ended": draw_ended(rows, bands.get(Measure.RATE)),
        "waits": draw_waits(rows, bands.get(Measure.WAIT)),
        "minute_rows": rows if choice.is_table else [],
        "choice": choice,
        "table_link": choice.link(view="" if choice.is_table else "table"),
        "chips": _queue_chips(overview, choice, chosen),
        "range_chips": [_range_chip(choice, minutes) for minutes in (SHORT_MINUTES, MINUTES)],
        "window_words": window_words(overview),
        "active_queues": [line for line in overview.queues if not line.is_quiet or line.queue.is_paused],
        "quiet_queues": [line for line in overview.queues if line.is_quiet and not line.queue.is_paused],
        "open_circuits": circuit_words(overview.open_circuits),
        # For platform staff only.
        "upkeep_warnings": find_upkeep_warnings() if overview.is_all_tenants else [],
        "foreign_process": find_foreign_process() if overview.is_all_tenants else "",
        "loads": list_loaded(overview.now) if overview.is_all_tenants else [],
        "stalled_pools": stall_watch.read(),
        "standby": (standby := standby_words()),
        "site_fault": find_site_fault() if overview.is_all_tenants else (False, ""),
        "write_fault": "" if standby else localize_write_fault(write_watch.read()),
    }
    return render_to_string(BODY_TEMPLATE, context)


def _read_bands(chosen: QueueRow | None, minutes: Sequence[datetime]) -> Mapping[Measure, Band]:
    """Return the usual ranges of what the charts show: one queue of all tenants, or all jobs of one tenant."""
    tenant_id = require_scope().tenant_id
    if chosen and tenant_id is None:
        return read_bands("queue", chosen.queue.name, minutes)
    return read_bands("tenant", str(tenant_id), minutes, tenant_id) if tenant_id and not chosen else {}


def _range_chip(choice: OverviewChoice, minutes: int) -> dict[str, Any]:
    link = choice.link(minutes="" if minutes == MINUTES else str(minutes))
    return {"label": _("Last %d min") % minutes, "link": link, "is_chosen": choice.minutes == minutes}


def _queue_chips(overview: Overview, choice: OverviewChoice, chosen: QueueRow | None) -> list[dict[str, Any]]:
    """Return the links that choose a queue: all queues, those with work, and the chosen one."""
    shown = [line for line in overview.queues if not line.is_quiet or line is chosen]
    return [
        {"label": _("All queues"), "link": choice.link(queue=""), "is_chosen": chosen is None},
        *(
            {"label": line.queue.name, "link": choice.link(queue=line.queue.name), "is_chosen": line is chosen}
            for line in shown
        ),
    ]
