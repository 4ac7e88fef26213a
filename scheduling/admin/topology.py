"""Queues, pools, workers and paused kinds in the console: the platform's alone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from scheduling.admin.help_texts import HelpfulMixin
from scheduling.conf import lease_seconds
from scheduling.dashboards.tags import badge
from scheduling.dashboards.wording import duration_words
from scheduling.models import KindPause, Queue, Worker, WorkerPool
from scheduling.processors import registry
from scheduling.selectors.stops import find_drain
from scheduling.services.memory_classes import kinds_beyond
from scheduling.services.pauses import (
    drain_pool,
    drain_queue,
    pause_kind,
    pause_pool,
    pause_queue,
    resume_kind,
    resume_pool,
    resume_queue,
)
from scheduling.services.topology import QUEUE_FIELDS, update_queue, update_worker_pool
from scheduling.services.workers import drain_worker, resume_worker
from tenants.admin.base import PlatformStaffAdmin
from tenants.admin.post_actions import post_action, until_of
from tenants.permissions import Permission


class StandingAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Rows that a migration or a process puts there: edited or looked at, never added here."""

    view_permission = Permission.PLATFORM_VIEW


def is_draining(scope: str, row: Queue | WorkerPool) -> bool:
    """Whether a queue or pool drains."""
    return find_drain(scope, row.name) is not None


@admin.register(Queue)
class QueueAdmin(StandingAdmin):
    """Celery queues; the dispatcher decides their order."""

    change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("name", "state_badge", "pool", "weight", "cap", "dispatches_per_minute", "expected_seconds")
    list_select_related = ("pool",)
    fields = ("name", "pool", "state_badge", "pause_reason", *QUEUE_FIELDS)
    readonly_fields = ("name", "pool", "state_badge", "pause_reason")
    post_actions = ("pause", "drain", "resume")
    help_texts = {
        "description": "What this queue is for, in one line.",
        "resource_class": "What its jobs use most; workers of a pool should offer it.",
    }

    def save_model(self, request: HttpRequest, obj: Queue, form: Any, change: bool) -> None:
        update_queue(queue=obj, changes={name: form.cleaned_data[name] for name in form.changed_data})

    @post_action(
        label="Pause",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda queue: not queue.is_paused,
    )
    def pause(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        pause_queue(queue=queue, reason=reason, until=until_of(request))
        return f"Nothing is dispatched from {queue} until it is resumed; what runs goes on."

    @post_action(
        label="Resume",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda queue: queue.is_paused or is_draining("queue", queue),
    )
    def resume(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        resume_queue(queue=queue, reason=reason)
        return f"{queue} is dispatched from again."

    @post_action(
        label="Drain",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda queue: not is_draining("queue", queue),
    )
    def drain(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        drain_queue(queue=queue, reason=reason, until=until_of(request))
        return f"{queue} accepts nothing new; what is there runs out."

    @admin.display(description="State")
    def state_badge(self, queue: Queue) -> SafeString:
        return badge("paused" if queue.is_paused else "running")


@admin.register(WorkerPool)
class WorkerPoolAdmin(StandingAdmin):
    """Pools of workers that share slots."""

    change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("name", "description", "memory_mib")
    fields = ("name", "description", "memory_mib")
    readonly_fields = ("name",)
    post_actions = ("pause", "drain", "resume")
    help_texts = {"description": "Which machines and queues this pool is, in one line."}

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        update_worker_pool(pool=obj, changes={name: form.cleaned_data[name] for name in form.changed_data})
        if too_large := kinds_beyond(obj):
            messages.warning(request, f"Jobs of these kinds need more memory and wait here: {', '.join(too_large)}.")

    @post_action(
        label="Pause",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda pool: not pool.is_paused,
    )
    def pause(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        pause_pool(pool=pool, reason=reason, until=until_of(request))
        return f"The workers of {pool} are handed nothing until it is resumed; what they have runs."

    @post_action(
        label="Drain",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda pool: not is_draining("pool", pool),
    )
    def drain(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        drain_pool(pool=pool, reason=reason, until=until_of(request))
        return f"The workers of {pool} are handed nothing more; the audit log says when they are idle."

    @post_action(
        label="Resume",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda pool: pool.is_paused or is_draining("pool", pool),
    )
    def resume(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        resume_pool(pool=pool, reason=reason)
        return f"The workers of {pool} are handed work again."


@admin.register(Worker)
class WorkerAdmin(StandingAdmin):
    """Worker processes with their slots and how long ago they were heard of."""

    list_display = ("process", "state_badge", "pool", "slots", "heard", "canary", "skew", "version", "started_at")
    list_select_related = ("pool",)
    ordering = ("-id",)
    sortable_by = ()
    post_actions = ("drain", "resume")
    empty_title = "No worker has ever started"
    empty_text = "Start one with “manage.py run_worker --pool default”, or everything with “manage.py run_platform”."

    @post_action(
        label="Drain",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda worker: worker.status == Worker.Status.ONLINE,
    )
    def drain(self, request: HttpRequest, worker: Worker, reason: str) -> str:
        drain_worker(worker_id=worker.pk, reason=reason)
        return f"{worker} is handed nothing more; what it runs goes on."

    @post_action(
        label="Resume",
        permission=Permission.QUEUES_OPERATE,
        is_offered=lambda worker: worker.status == Worker.Status.DRAINING,
    )
    def resume(self, request: HttpRequest, worker: Worker, reason: str) -> str:
        resume_worker(worker_id=worker.pk)
        return f"{worker} takes jobs again."

    @admin.display(description="Worker")
    def process(self, worker: Worker) -> str:
        return str(worker)

    @admin.display(description="State")
    def state_badge(self, worker: Worker) -> SafeString:
        silent = (timezone.now() - worker.heartbeat_at).total_seconds() > lease_seconds()
        if worker.stop_reason:
            return badge("silent", worker.stop_reason.replace("_", " "))
        return badge("silent" if worker.status == Worker.Status.ONLINE and silent else worker.status)

    @admin.display(description="Last heartbeat")
    def heard(self, worker: Worker) -> str:
        return f"{duration_words(timezone.now() - worker.heartbeat_at)} ago"

    @admin.display(description="Last canary")
    def canary(self, worker: Worker) -> str:
        return f"{duration_words(timezone.now() - worker.canary_at)} ago" if worker.canary_at else "-"

    @admin.display(description="Clock off by")
    def skew(self, worker: Worker) -> str:
        return "-" if worker.clock_skew_seconds is None else f"{worker.clock_skew_seconds:+.2f} s"


class KindPauseForm(forms.Form):
    """A kind from those that are installed, and why it shall wait."""

    kind = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget(),
        help_text="Nothing of this kind is dispatched, of any tenant; what runs goes on and what is submitted waits.",
    )
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Shown to the tenants whose jobs wait for it, and kept in the audit log.",
    )

    paused_until = forms.DateTimeField(
        required=False,
        label="Until (UTC)",
        widget=UnfoldAdminTextInputWidget({"type": "datetime-local"}),
        help_text="It is resumed by itself at this time; empty: by a person.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind, kind) for kind in registry.kinds()]  # type: ignore[attr-defined]


class KindPauseModelForm(KindPauseForm, forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = KindPause
        fields = ("kind", "reason", "paused_until")


@admin.register(KindPause)
class KindPauseAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Kinds of which nothing is dispatched."""

    view_permission = Permission.PLATFORM_VIEW
    add_permission = Permission.QUEUES_OPERATE
    list_display = ("kind", "reason", "paused_by", "paused_at", "paused_until")
    form = KindPauseModelForm
    empty_title = "No kind is paused"
    empty_text = "Pause a kind when what it depends on is down: its jobs wait, and nothing of them is lost."
    post_actions = ("resume",)

    def save_model(self, request: HttpRequest, obj: KindPause, form: Any, change: bool) -> None:
        values = form.cleaned_data
        pause_kind(kind=values["kind"], reason=values["reason"], until=values["paused_until"])

    @post_action(label="Resume", permission=Permission.QUEUES_OPERATE, asks_reason=True)
    def resume(self, request: HttpRequest, pause: KindPause, reason: str) -> str:
        resume_kind(kind=pause.kind, reason=reason)
        return f"Jobs of kind {pause.kind} are dispatched again."

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_kindpause_changelist")
