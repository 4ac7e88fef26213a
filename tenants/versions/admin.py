"""Admin parts for versioned rows: the form of an edit, the list of versions, rollback and withdrawal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.access.permissions import Permission
from tenants.audit.diffs import diff_documents
from tenants.console.post_actions import post_action
from tenants.exceptions import FieldInvalidError
from tenants.versions.queries import versions_of
from tenants.versions.service import Versioned

SHOWN_VERSIONS = 20
STALE_ADVICE = gettext_lazy(
    "The plan was saved since you opened it: it is at version {version} now. Your input is kept below and is not "
    "saved yet. Compare it with the newest version at the end of the page; save again to overwrite it."
)
VERSION_FIELDS = ("reason", "effective_from", "seen_version")


class VersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Base form of an edit that creates a version: its reason, its effective time, and the version that was shown."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("The reason of the change, for the history and the audit log."),
    )
    effective_from = forms.DateTimeField(
        label=gettext_lazy("Effective from"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text=gettext_lazy("UTC. The change takes effect at this time; empty: at once."),
    )
    seen_version = forms.IntegerField(
        label=gettext_lazy("Seen version"),
        required=False,
        widget=forms.HiddenInput(),
        help_text=gettext_lazy("The version that was shown."),
    )

    # The message to an editor whose form is older than another edit.
    stale_advice: ClassVar[Any] = STALE_ADVICE
    # Of one request: whether its input is only a preview.
    is_preview: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen_version" in self.fields and not self.instance._state.adding:
            self.fields["seen_version"].initial = self.instance.version

    def is_valid(self) -> bool:
        """Return whether the input may be saved; it may not if it was sent only for a preview."""
        return super().is_valid() and not self.is_preview

    def clean(self) -> dict[str, Any] | None:
        """Validate the form; add an error if the shown version is outdated."""
        cleaned: dict[str, Any] | None = super().clean()
        if self.is_stale:
            self.add_error(None, self.stale_advice.format(version=self.instance.version))
            # Submitted again, the form applies to the version that is reported now.
            data: Any = self.data
            self.data = data.copy()
            self.data["seen_version"] = str(self.instance.version)  # type: ignore[index]
        return cleaned

    @property
    def is_stale(self) -> bool:
        """Return whether another edit has saved the row since this form was rendered."""
        seen = self.cleaned_data.get("seen_version")
        return not self.is_preview and seen is not None and seen != self.instance.version

    def options(self) -> dict[str, Any]:
        """Return the reason, expected version and effective time, as keyword arguments of the service."""
        given = self.cleaned_data
        effective_from: datetime | None = given.get("effective_from")
        return {
            "reason": given.get("reason", ""),
            "expected_version": given.get("seen_version"),
            "effective_from": effective_from,
        }


class VersionsMixin(ModelAdmin):
    """Mixin that shows the newest versions of a row on its page. `version_acts` provides the page's actions on them."""

    versioned: ClassVar[Versioned[Any]]
    change_form_outer_after_template = "tenants/admin/versions.html"

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> type[Any]:
        """Return the form class, with this request's preview flag as a class attribute."""
        form: type[Any] = super().get_form(request, obj, **kwargs)
        return type(form.__name__, (form,), {"is_preview": is_preview(request)})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Render the form with the newest versions in its context."""
        row = context.get("original")
        if row is not None:
            context["versions"] = self.describe_versions(row)
            if self.has_change_permission(request):
                for item in context["versions"]:
                    item["act"] = self._act_on(row, item["row"])
        return super().render_change_form(request, context, *args, **kwargs)

    def _act_on(self, row: Any, version: Any) -> dict[str, Any] | None:
        """Return the button of a version: withdraw a waiting one, roll back to another; None for that in effect."""
        if version.number == row.version:
            return None
        name = "withdraw" if version.outcome == "waiting" else "rollback"
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_act", args=[row.pk, name])
        return {
            "id": f"version-{version.number}",
            "url": url,
            "action": getattr(self, name).post_action,
            "row": gettext("version %(number)s") % {"number": version.number},
            "hidden": {"number": version.number, "seen_version": row.version},
        }

    def describe_versions(self, row: Any) -> list[dict[str, Any]]:
        """Return the newest versions with their differences, for the page's template."""
        return [
            {"row": version, "diffs": diff_documents(version.before, version.after)}
            for version in versions_of(row)[:SHOWN_VERSIONS]
        ]


def version_acts(permission: Permission) -> tuple[Callable[..., str | HttpResponse], Callable[..., str | HttpResponse]]:
    """Return the actions `rollback` and `withdraw`, which a page offers beside each version, not above the form."""

    @post_action(
        label=gettext_lazy("Roll back"),
        consequence=gettext_lazy(
            "A new version with this content takes effect at once; later versions stay on record."
        ),
        permission=permission,
        asks_reason=True,
        is_offered=lambda row: False,
    )
    def rollback(page: Any, request: HttpRequest, row: Any, reason: str) -> str:
        """Roll back to the requested version."""
        version = page.versioned.roll_back(
            row, asked_number(request), reason=reason, expected_version=seen_version(request)
        )
        return (
            gettext("It already has this content.")
            if version is None
            else gettext("%(plan)s is at %(version)s.") % {"plan": row, "version": version}
        )

    @post_action(
        label=gettext_lazy("Withdraw"),
        consequence=gettext_lazy("The scheduled version does not take effect; it stays on record."),
        permission=permission,
        asks_reason=True,
        is_offered=lambda row: False,
    )
    def withdraw(page: Any, request: HttpRequest, row: Any, reason: str) -> str:
        """Withdraw the requested version."""
        version = page.versioned.withdraw(row, asked_number(request), reason=reason)
        return gettext("%(value)s will not take effect.") % {"value": str(version).capitalize()}

    return rollback, withdraw


def is_preview(request: HttpRequest) -> bool:
    """Return whether a form was sent by its preview button, which serves browsers without scripts."""
    return request.method == "POST" and "_preview" in request.POST


def asked_number(request: HttpRequest) -> int:
    """Return the number of the version that an action was submitted for; raise `FieldInvalidError` if it is missing."""
    number = _number_in(request, "number")
    if number is None:
        raise FieldInvalidError("number: It must be the number of a version.")
    return number


def seen_version(request: HttpRequest) -> int | None:
    """Return the submitted number of the version that was in effect when the page was rendered, or None."""
    return _number_in(request, "seen_version")


def _number_in(request: HttpRequest, name: str) -> int | None:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
