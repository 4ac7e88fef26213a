"""Console pages of queues: backlog and throughput; pausing, draining and editing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.views import ChangeList

from scheduling.alerts.panels import read_panels
from scheduling.alerts.rules import Per
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words, empty_words, percent_words, rate_words
from scheduling.models import Queue
from scheduling.plans.queries import read_plan_weights
from scheduling.stops.pauses import drain_queue, pause_queue, resume_queue
from scheduling.stops.queries import Stop, list_stops
from scheduling.topology.admin import TopologyAdmin, is_draining
from scheduling.topology.queue_rows import QueueRow, read_queue_rows
from scheduling.topology.service import QUEUE_FIELDS, create_queue, update_queue
from tenants.access.permissions import Permission
from tenants.console.live_pages import LiveListMixin, LivePageMixin
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site

NOW_TEMPLATE = "scheduling/dashboards/parts/queue_now.html"


@admin.register(Queue, site=console_site)
class QueueAdmin(LiveListMixin, LivePageMixin, TopologyAdmin):
    """Admin pages of the queues with their backlog and throughput."""

    empty_title = gettext_lazy("No queues")
    empty_text = gettext_lazy("Jobs wait in queues. Add one above, or run “manage.py create_queue”.")

    named_by = "name"
    list_display = (
        "name",
        "state",
        "pool",
        "depth",
        "oldest",
        "comes_in",
        "goes_out",
        "wait_p95",
        "utilisation",
        "empty_in",
        "weight_in_effect",
        "cap",
    )
    list_select_related = ("pool",)
    sortable_by = ("name", "pool", "cap")
    change_form_outer_before_template = "scheduling/dashboards/queue_now.html"
    given_once = ("name", "pool")
    edited_fields = QUEUE_FIELDS
    state_fields = ("state_badge", "pause_reason")
    post_actions = ("pause", "drain", "resume")
    help_texts = {
        "name": gettext_lazy("Lower-case letters, digits, hyphens and underscores; it cannot be changed later."),
        "pool": gettext_lazy("Its workers consume the queue from their next heartbeat on; it cannot be changed later."),
        "description": gettext_lazy("Purpose of this queue, in one line."),
    }

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Return the form's fields; the weight cannot be edited while the active CFS plan overrides it."""
        fields = super().get_fields(request, obj)
        if obj is None or obj.pk not in read_plan_weights():
            return fields
        return tuple("weight_by_plan" if name == "weight" else name for name in fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "weight_by_plan")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueChangeList]:
        return QueueChangeList

    def render_now(self, request: HttpRequest, object_id: str) -> str | None:
        line = next((line for line in read_queue_rows() if str(line.queue.pk) == object_id), None)
        if line is None:
            return None
        stops = [stop for stop in list_stops() if (stop.scope, stop.name) == ("queue", line.queue.name)]
        name = line.queue.name
        panels = read_panels(self.access(request), Per.QUEUE, [name], tenant_id=None)
        context = {"line": line, "queue_stops": stops, "panel": panels.get(name)}
        return render_to_string(NOW_TEMPLATE, context, request)

    def save_model(self, request: HttpRequest, obj: Queue, form: Any, change: bool) -> None:
        values, reason = self.values_of(form, change=change), form.cleaned_data["reason"]
        if change:
            update_queue(queue=obj, changes=values, reason=reason)
        else:
            given = form.cleaned_data
            obj.pk = create_queue(name=given["name"], pool=given["pool"], values=values, reason=reason).pk

    @post_action(
        label=gettext_lazy("Pause"),
        consequence=gettext_lazy(
            "No job of the queue starts until it is resumed. Running jobs end as usual, and new ones are accepted."
        ),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda queue: not queue.is_paused,
    )
    def pause(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        pause_queue(queue=queue, reason=reason, until=until_of(request))
        return gettext("%(queue)s is paused: no job is dispatched until it is resumed, and running jobs continue.") % {
            "queue": queue
        }

    @post_action(
        label=gettext_lazy("Resume"),
        consequence=gettext_lazy("Waiting jobs of the queue may start at once."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda queue: queue.is_paused or is_draining("queue", queue),
    )
    def resume(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        resume_queue(queue=queue, reason=reason)
        return gettext("%(queue)s is resumed: its jobs are dispatched again.") % {"queue": queue}

    @post_action(
        label=gettext_lazy("Drain"),
        consequence=gettext_lazy("No job of the queue starts; the page says when the last one has ended."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda queue: not is_draining("queue", queue),
    )
    def drain(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        drain_queue(queue=queue, reason=reason, until=until_of(request))
        return gettext("%(queue)s is draining: it accepts no new jobs, and its present jobs still run.") % {
            "queue": queue
        }

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, queue: Queue) -> SafeString:
        return badge("paused" if queue.is_paused else "running")

    @admin.display(description=_("State"))
    def state(self, queue: Queue) -> SafeString:
        """Return the queue's pause and drain with reasons and ends as HTML; the list has read them already."""
        stops: list[Stop] = getattr(queue, "stops", [])
        if not stops:
            return badge("running")
        return format_html_join("", '<div>{} <span class="console-quiet">{}</span></div>', map(_told, stops))

    @admin.display(description=_("Depth"))
    def depth(self, queue: Queue) -> SafeString | str:
        line = row_of_queue(queue)
        return "–" if line is None else f"{line.waiting:,}"

    @admin.display(description=_("Oldest"))
    def oldest(self, queue: Queue) -> str:
        line = row_of_queue(queue)
        return duration_words(line.oldest_seconds if line else None)

    @admin.display(description=_("In / min"))
    def comes_in(self, queue: Queue) -> str:
        line = row_of_queue(queue)
        return "–" if line is None or line.in_per_minute is None else rate_words(line.in_per_minute)

    @admin.display(description=_("Out / min"))
    def goes_out(self, queue: Queue) -> str:
        line = row_of_queue(queue)
        return "–" if line is None else rate_words(line.out_per_minute)

    @admin.display(description=_("Wait p95"))
    def wait_p95(self, queue: Queue) -> str:
        line = row_of_queue(queue)
        return duration_words(line.ended.wait_p95 if line else None)

    @admin.display(description=_("Utilisation"))
    def utilisation(self, queue: Queue) -> str:
        line = row_of_queue(queue)
        return "–" if line is None or line.utilisation is None else percent_words(line.utilisation)

    @admin.display(description=gettext_lazy("Weight"))
    def weight_in_effect(self, queue: Queue) -> SafeString | int:
        """Return the effective weight, and the CFS plan that sets it; the list has read it already."""
        by_plan: tuple[int, str] | None = getattr(queue, "plan_weight", None)
        if by_plan is None:
            return queue.weight
        return format_html('{} <span class="console-quiet">{}</span>', by_plan[0], _("by plan %s") % by_plan[1])

    @admin.display(description=gettext_lazy("Weight"))
    def weight_by_plan(self, queue: Queue) -> str:
        weight, plan = read_plan_weights().get(queue.pk, (queue.weight, ""))
        words = gettext("%(weight)s, set by the active CFS plan “%(plan)s”; without it %(own)s. Edit it in the plan.")
        return words % {"weight": weight, "plan": plan, "own": queue.weight}

    @admin.display(description=_("Empty in"))
    def empty_in(self, queue: Queue) -> str:
        """Return in words the time until the queue is empty if no jobs arrive."""
        line = row_of_queue(queue)
        return empty_words(line) if line else "–"


class QueueChangeList(ChangeList):
    """Change list that reads the load of all queues at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        lines, weights = {line.queue.pk: line for line in read_queue_rows()}, read_plan_weights()
        stops: dict[str, list[Stop]] = defaultdict(list)
        for stop in list_stops():
            if stop.scope == "queue":
                stops[stop.name].append(stop)
        for queue in self.result_list:
            queue.line, queue.stops, queue.plan_weight = lines.get(queue.pk), stops[queue.name], weights.get(queue.pk)


def row_of_queue(queue: Queue) -> QueueRow | None:
    """Return the load that the list has read for a queue, or None."""
    line: QueueRow | None = getattr(queue, "line", None)
    return line


def _told(stop: Stop) -> tuple[SafeString, str]:
    until = _("until %(until)s UTC") % {"until": f"{stop.until:%Y-%m-%d %H:%M}"} if stop.until else ""
    return badge(stop.mode), " ".join(part for part in (f"“{stop.reason}”" if stop.reason else "", until) if part)
