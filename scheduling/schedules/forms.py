"""Forms of schedules, which show each error beside its field."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from scheduling.exceptions import ScheduleInvalidError
from scheduling.models import Schedule
from scheduling.schedules.definitions import EDITABLE_FIELDS, check_values
from tenants.console.edit_conflicts import FIELD as SEEN
from tenants.models import Tenant


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a schedule: its editable fields, and the reason of a change."""

    own_tenant: ClassVar[Tenant | None] = None

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Reason of the change; kept in the audit log with the difference."),
    )
    seen_version = forms.IntegerField(
        label=gettext_lazy("Seen version"),
        required=False,
        widget=forms.HiddenInput(),
        help_text=gettext_lazy("The version that was shown."),
    )

    class Meta:
        model = Schedule
        fields = EDITABLE_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen_version" in self.fields:
            self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.data.get(SEEN):
            # The form shows changed fields one by one; the row is locked until it is saved.
            values["seen_version"] = self.instance.version
        tenant = self.own_tenant or values.get("tenant")
        # A field that Django has rejected has no value to check with the others.
        if tenant is None or self.errors:
            return values
        given = {name: values[name] for name in EDITABLE_FIELDS if name in values}
        schedule = None if self.instance._state.adding else self.instance
        try:
            check_values(tenant=tenant, values=given, schedule=schedule)
        except ScheduleInvalidError as refusal:
            for fault in refusal.errors:
                name = fault["field"].split(".")[0]
                self.add_error(name if name in self.fields else None, fault["detail"])
        return values


class BackfillForm(forms.Form):
    """Form of a backfill: the first and the last time to cover, in UTC, and the reason."""

    since = forms.SplitDateTimeField(
        label=gettext_lazy("From (UTC)"),
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Inclusive, in UTC."),
    )
    until = forms.SplitDateTimeField(
        label=gettext_lazy("To (UTC)"),
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Inclusive, and not in the future."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Kept in the audit log."),
    )
