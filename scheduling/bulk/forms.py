"""Form that previews and starts a bulk operation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.models import BulkOperation
from tenants.console.json_fields import JSONObjectField
from tenants.console.post_actions import REASON_LIMIT

# The field that each operation has beside those of all.
FIELD_OF = {
    BulkOperation.Operation.REPRIORITISE.value: "priority",
    BulkOperation.Operation.MOVE_QUEUE.value: "queue",
    BulkOperation.Operation.RETRY.value: "payload_patch",
    BulkOperation.Operation.REQUEUE.value: "payload_patch",
}


class BulkForm(forms.Form):
    """Form of a bulk operation: filter, action and reason, and the signed ticket of the last preview.

    It has only those fields that the chosen operation uses.
    """

    filter = forms.CharField(
        label=_("Filter"),
        max_length=10_000,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("For example: state:discarded queue:pipeline age:>1h"),
    )
    operation = forms.ChoiceField(label=_("Operation"), widget=UnfoldAdminSelectWidget())
    priority = forms.IntegerField(label=_("New priority"), widget=UnfoldAdminTextInputWidget())
    queue = forms.SlugField(label=_("New queue"), max_length=60, widget=UnfoldAdminTextInputWidget())
    payload_patch = JSONObjectField(
        label=_("Payload patch"),
        required=False,
        widget=UnfoldAdminTextareaWidget(),
        help_text=_(
            'For jobs of one tenant: merged into each payload, such as {"url": '
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
        operation = (self.data if self.is_bound else self.initial).get("operation", "")
        used = FIELD_OF.get(operation)
        for name in set(FIELD_OF.values()):
            if name != used or (name == "payload_patch" and not may_edit):
                del self.fields[name]
        offered = [choice for choice in BulkOperation.Operation.choices if choice[0] in operations]
        self.fields["operation"].choices = [("", _("Choose an operation")), *offered]  # type: ignore[attr-defined]

    @property
    def asked(self) -> dict[str, Any]:
        """Return the filter, operation and parameters as keyword arguments for the services."""
        given = self.cleaned_data
        parameters = {name: given[name] for name in ("priority", "queue") if given.get(name) is not None}
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
