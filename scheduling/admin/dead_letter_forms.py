"""The form of dead letters: which of them are requeued, and what is changed of their payloads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from scheduling.admin.payload_editor import PayloadObjectField
from scheduling.dashboards.wording import mark_of
from scheduling.filters import JobFilter
from scheduling.fingerprints import FINGERPRINT_CHARACTERS
from scheduling.models import DeadLetter
from scheduling.processors import registry
from scheduling.selectors.jobs import CappedCount
from scheduling.services.dead_letters import MAX_REQUEUED, RequeueCursor
from tenants.admin.post_actions import REASON_LIMIT
from tenants.exceptions import CursorInvalidError


def _kinds() -> list[tuple[str, str]]:
    return [("", gettext("every kind")), *((kind, kind) for kind in registry.kinds())]


def _reasons() -> list[tuple[str, str]]:
    reasons = ((reason, mark_of(reason).word) for reason in DeadLetter.Reason.values)
    return [("", gettext("whatever the reason")), *reasons]


class RequeueForm(forms.Form):
    """Which letters are meant, what is changed of their payloads, and why."""

    kind = forms.ChoiceField(required=False, choices=_kinds, widget=UnfoldAdminSelectWidget())
    fingerprint = forms.CharField(
        required=False,
        max_length=FINGERPRINT_CHARACTERS,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("That of a group; empty: every cause."),
    )
    letter_reason = forms.ChoiceField(
        label=gettext_lazy("Why given up"),
        required=False,
        choices=_reasons,
        widget=UnfoldAdminSelectWidget(),
    )
    tenant = forms.SlugField(
        required=False, widget=UnfoldAdminTextInputWidget(), help_text=gettext_lazy("Its slug; empty: every tenant's.")
    )
    created_after = forms.SplitDateTimeField(
        label=gettext_lazy("Given up from (UTC)"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Inclusive."),
    )
    created_before = forms.SplitDateTimeField(
        label=gettext_lazy("Given up until (UTC)"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Exclusive."),
    )
    payload_patch = PayloadObjectField(
        label=gettext_lazy("Change of the payloads"),
        required=False,
        help_text=gettext_lazy(
            'Merged into each payload, such as {"url": "https://new.example"}; null removes a member.'
        ),
    )
    reason = forms.CharField(
        required=False,
        max_length=REASON_LIMIT,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Kept in the audit log."),
    )
    confirm = forms.IntegerField(
        required=False, label=gettext_lazy("The number, to confirm"), widget=UnfoldAdminTextInputWidget()
    )
    cursor = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput())

    def __init__(self, *args: Any, sees_all_tenants: bool, may_edit: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not sees_all_tenants:
            del self.fields["tenant"]
        if not may_edit:
            del self.fields["payload_patch"]

    def clean_cursor(self) -> RequeueCursor | None:
        text = self.cleaned_data["cursor"]
        try:
            return RequeueCursor.parse(text) if text else None
        except CursorInvalidError as refusal:
            raise forms.ValidationError(refusal.detail) from refusal

    def to_filter(self) -> JobFilter:
        """The letters as the service takes them."""
        given = self.cleaned_data
        return JobFilter.of(
            kind=given["kind"],
            dead_letter=given["letter_reason"],
            fingerprint=given["fingerprint"].strip(),
            tenant=given.get("tenant"),
            died_after=given["created_after"],
            died_before=given["created_before"],
        )

    def require_number(self, count: CappedCount) -> bool:
        """Whether the number stands beside an act that is too large to be done by one press; else a fault is noted."""
        if not self.needs_number(count) or self.cleaned_data["confirm"] == count.value:
            return True
        self.add_error(
            "confirm", gettext("Type %(value)s: so many are requeued, or more if it goes on.") % {"value": count.value}
        )
        return False

    def needs_number(self, count: CappedCount) -> bool:
        """Whether the act is above a batch, or across tenants."""
        is_across = "tenant" in self.fields and not self.cleaned_data.get("tenant")
        return count.value > 0 and (count.value > MAX_REQUEUED or is_across)
