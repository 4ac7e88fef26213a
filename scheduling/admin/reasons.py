"""Acts on the rows that were ticked: they POST, and say why."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy
from unfold.forms import ActionForm

from tenants.admin.post_actions import REASON_LIMIT
from tenants.admin.post_actions import read_reason as reason_of

__all__ = ["ReasonActionForm", "reason_of"]


class ReasonActionForm(ActionForm):
    """The bar under a list with a reason beside the act."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_LIMIT,
        label="",
        widget=forms.TextInput(
            {
                "placeholder": gettext_lazy("Reason, kept in the audit log"),
                "aria-label": gettext_lazy("Reason, kept in the audit log"),
                "class": "bg-white/20 rounded-default px-2 py-1 text-white placeholder-white/80 lg:w-72",
            }
        ),
    )
