"""Console pages of paused job kinds, for platform staff only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from scheduling.console.help_texts import HelpfulMixin
from scheduling.kit import registry
from scheduling.models import KindPause
from scheduling.stops.pauses import pause_kind, resume_kind
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site


class KindPauseForm(forms.Form):
    """Form that pauses one of the installed kinds, with a reason."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        widget=UnfoldAdminSelectWidget(),
        help_text=gettext_lazy(
            "No job of this kind is dispatched, for any tenant. Running jobs continue; new jobs wait."
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Shown to the tenants whose jobs wait for it, and kept in the audit log."),
    )

    paused_until = forms.DateTimeField(
        required=False,
        label=gettext_lazy("Until (UTC)"),
        widget=UnfoldAdminTextInputWidget({"type": "datetime-local"}),
        help_text=gettext_lazy("Resumed automatically at this time; empty: manually."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind, kind) for kind in registry.kinds()]  # type: ignore[attr-defined]


class KindPauseModelForm(KindPauseForm, forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = KindPause
        fields = ("kind", "reason", "paused_until")


@admin.register(KindPause, site=console_site)
class KindPauseAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Admin pages of paused job kinds: no job of a paused kind is dispatched."""

    view_permission = Permission.PLATFORM_VIEW
    list_title = gettext_lazy("Paused kinds")
    add_permission = Permission.QUEUES_OPERATE
    list_display = ("kind", "reason", "paused_by", "paused_at", "paused_until")
    form = KindPauseModelForm
    empty_title = gettext_lazy("No kinds are paused")
    empty_text = gettext_lazy("Pause a kind while a service that it needs is down. Its jobs wait; none is lost.")
    post_actions = ("resume",)

    def save_model(self, request: HttpRequest, obj: KindPause, form: Any, change: bool) -> None:
        values = form.cleaned_data
        pause_kind(kind=values["kind"], reason=values["reason"], until=values["paused_until"])

    @post_action(
        label=gettext_lazy("Resume"),
        consequence=gettext_lazy("Waiting jobs of the kind may start at once."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
    )
    def resume(self, request: HttpRequest, pause: KindPause, reason: str) -> str:
        resume_kind(kind=pause.kind, reason=reason)
        return gettext("Jobs of kind %(kind)s are dispatched again.") % {"kind": pause.kind}

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_kindpause_changelist")
