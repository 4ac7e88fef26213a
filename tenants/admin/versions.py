"""The versions of a plan on its page: who wanted it so from when, with rollback and withdrawal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.diffs import diff_documents
from tenants.exceptions import FieldInvalidError
from tenants.selectors.plans import versions_of

SHOWN_VERSIONS = 20
VERSION_FIELDS = ("reason", "effective_from", "seen_version")


class VersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Why a plan changes, from when on, and which version was read."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Why the plan changes; kept in its history and in the audit log.",
    )
    effective_from = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text="UTC. From then on the plan is what you save; empty: at once.",
    )
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput(), help_text="What was read.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen_version" in self.fields and not self.instance._state.adding:
            self.fields["seen_version"].initial = self.instance.version

    def options(self) -> dict[str, Any]:
        """What goes to the service beside the plan's own values."""
        given = self.cleaned_data
        effective_from: datetime | None = given.get("effective_from")
        return {
            "reason": given.get("reason", ""),
            "expected_version": given.get("seen_version"),
            "effective_from": effective_from,
        }


class VersionsMixin(ModelAdmin):
    """Gives the page of a plan its newest versions; `rollback` and `withdraw` are acts of the page itself."""

    change_form_outer_after_template = "tenants/admin/plan_versions.html"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        plan = context.get("original")
        if plan is not None:
            context["plan_versions"] = [
                {"row": row, "diffs": diff_documents(row.before, row.after)}
                for row in versions_of(plan)[:SHOWN_VERSIONS]
            ]
            context["may_roll_back"] = self.has_change_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)


def asked_number(request: HttpRequest) -> int:
    """The version that an act is about."""
    number = _number_in(request, "number")
    if number is None:
        raise FieldInvalidError("number: It must be the number of a version.")
    return number


def seen_version(request: HttpRequest) -> int | None:
    """The version that was in effect when the page was drawn."""
    return _number_in(request, "seen_version")


def _number_in(request: HttpRequest, name: str) -> int | None:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
