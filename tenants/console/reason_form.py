"""Form of the actions on selected rows of a list that take a reason."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy
from unfold.forms import ActionForm

from tenants.console.post_actions import REASON_LIMIT


class ReasonActionForm(ActionForm):
    """Form of the actions above or below a list, with a field for the reason."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_LIMIT,
        label="",
        widget=forms.TextInput(
            {
                "placeholder": gettext_lazy("Reason, for the audit log"),
                "aria-label": gettext_lazy("Reason, for the audit log"),
                "class": "bg-white/20 rounded-default px-2 py-1 text-white placeholder-white/80 lg:w-72",
            }
        ),
    )
