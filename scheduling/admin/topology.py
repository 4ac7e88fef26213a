"""Queues, pools, workers and paused kinds in the console: the platform's alone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
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
from scheduling.services.pauses import pause_kind, pause_queue, resume_kind, resume_queue
from scheduling.services.topology import QUEUE_FIELDS, update_queue, update_worker_pool
from tenants.admin.base import PlatformStaffAdmin
from tenants.admin.post_actions import post_action
from tenants.permissions import Permission


class StandingAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Rows that a migration or a process puts there: edited or looked at, never added here."""

    view_permission = Permission.PLATFORM_VIEW


@admin.register(Queue)
class QueueAdmin(StandingAdmin):
    """Celery queues; the dispatcher decides their order."""

    change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("name", "state_badge", "pool", "weight", "cap", "resource_class", "expected_seconds")
    list_select_related = ("pool",)
    fields = ("name", "pool", "state_badge", "pause_reason", *QUEUE_FIELDS)
    readonly_fields = ("name", "pool", "state_badge", "pause_reason")
    post_actions = ("pause", "resume")
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
        is_offered=lambda queue: not queue.is_paused,
    )
    def pause(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        pause_queue(queue=queue, reason=reason)
        return f"Nothing is dispatched from {queue} until it is resumed; what runs goes on."

    @post_action(
        label="Resume",
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda queue: queue.is_paused,
    )
    def resume(self, request: HttpRequest, queue: Queue, reason: str) -> str:
        resume_queue(queue=queue, reason=reason)
        return f"{queue} is dispatched from again."

    @admin.display(description="State")
    def state_badge(self, queue: Queue) -> SafeString:
        return badge("paused" if queue.is_paused else "running")


@admin.register(WorkerPool)
class WorkerPoolAdmin(StandingAdmin):
    """Pools of workers that share slots."""

    change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("name", "description")
    fields = ("name", "description")
    readonly_fields = ("name",)
    help_texts = {"description": "Which machines and queues this pool is, in one line."}

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        update_worker_pool(pool=obj, changes={name: form.cleaned_data[name] for name in form.changed_data})


@admin.register(Worker)
class WorkerAdmin(StandingAdmin):
    """Worker processes with their slots and how long ago they were heard of."""

    list_display = ("process", "state_badge", "pool", "slots", "heard", "canary", "skew", "version", "started_at")
    list_select_related = ("pool",)
    ordering = ("-id",)
    sortable_by = ()
    empty_title = "No worker has ever started"
    empty_text = "Start one with “manage.py run_worker --pool default”, or everything with “manage.py run_platform”."

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind, kind) for kind in registry.kinds()]  # type: ignore[attr-defined]


class KindPauseModelForm(KindPauseForm, forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = KindPause
        fields = ("kind", "reason")


@admin.register(KindPause)
class KindPauseAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Kinds of which nothing is dispatched."""

    view_permission = Permission.PLATFORM_VIEW
    add_permission = Permission.QUEUES_OPERATE
    list_display = ("kind", "reason", "paused_at")
    form = KindPauseModelForm
    empty_title = "No kind is paused"
    empty_text = "Pause a kind when what it depends on is down: its jobs wait, and nothing of them is lost."
    post_actions = ("resume",)

    def save_model(self, request: HttpRequest, obj: KindPause, form: Any, change: bool) -> None:
        pause_kind(kind=form.cleaned_data["kind"], reason=form.cleaned_data["reason"])

    @post_action(label="Resume", permission=Permission.QUEUES_OPERATE, asks_reason=True)
    def resume(self, request: HttpRequest, pause: KindPause, reason: str) -> str:
        resume_kind(kind=pause.kind, reason=reason)
        return f"Jobs of kind {pause.kind} are dispatched again."

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_kindpause_changelist")
