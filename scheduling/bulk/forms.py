"""Form that previews and starts a bulk operation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.models import BulkOperation
from tenants.console.json_fields import StrictJSONField
from tenants.console.post_actions import REASON_LIMIT


class PatchField(StrictJSONField):
    """A form field for a JSON object, which may be empty."""

    empty_values = (None, "")
    widget = UnfoldAdminTextareaWidget

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        if cleaned is not None and not isinstance(cleaned, dict):
            raise forms.ValidationError(gettext("It must be a JSON object."))
        return cleaned


class BulkForm(forms.Form):
    """Form of a bulk operation: filter, action and reason, and the signed ticket of the last preview."""

    filter = forms.CharField(
        label=_("Filter"),
        max_length=10_000,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("For example: state:discarded queue:pipeline age:>1h"),
    )
    operation = forms.ChoiceField(label=_("Operation"), widget=UnfoldAdminSelectWidget())
    priority = forms.IntegerField(
        label=_("New priority"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Only for “change the priority”."),
    )
    queue = forms.SlugField(
        label=_("New queue"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Only for “move to another queue”: its name."),
    )
    payload_patch = PatchField(
        label=_("Payload patch"),
        required=False,
        help_text=_(
            'For retry and requeue of one tenant\'s jobs: merged into each payload, such as {"url": '
            '"https://new.example"}; null removes a member.'
        ),
    )
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=REASON_LIMIT,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Kept in the audit log. Required to start."),
    )
    number = forms.IntegerField(label=_("Number"), required=False, widget=UnfoldAdminTextInputWidget())
    ticket = forms.CharField(required=False, max_length=2_000, widget=forms.HiddenInput())

    def __init__(self, *args: Any, operations: Collection[str], may_edit: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_edit:
            del self.fields["payload_patch"]
        offered = [choice for choice in BulkOperation.Operation.choices if choice[0] in operations]
        self.fields["operation"].choices = offered  # type: ignore[attr-defined]

    @property
    def asked(self) -> dict[str, Any]:
        """Return the filter, operation and parameters as keyword arguments for the services."""
        given = self.cleaned_data
        parameters: dict[str, Any] = {}
        if given["operation"] == BulkOperation.Operation.REPRIORITISE and given["priority"] is not None:
            parameters["priority"] = given["priority"]
        if given["operation"] == BulkOperation.Operation.MOVE_QUEUE and given["queue"]:
            parameters["queue"] = given["queue"]
        return {
            "filter_text": given["filter"],
            "operation": given["operation"],
            "parameters": parameters,
            "payload_patch": given.get("payload_patch"),
        }

    def put_ticket(self, ticket: str) -> None:
        """Put the ticket of a preview into the form, so that the next submit starts exactly what the preview shows."""
        self.data = self.data.copy()  # type: ignore[attr-defined] # a QueryDict
        self.data["ticket"] = ticket  # type: ignore[index]
