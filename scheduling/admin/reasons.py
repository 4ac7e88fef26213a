"""Acts on the rows that were ticked: they POST, and say why."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest
from unfold.forms import ActionForm

REASON_LIMIT = 500


class ReasonActionForm(ActionForm):
    """The bar under a list with a reason beside the act."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_LIMIT,
        label="",
        widget=forms.TextInput(
            {
                "placeholder": "Reason, kept in the audit log",
                "aria-label": "Reason, kept in the audit log",
                "class": "bg-white/20 rounded-default px-2 py-1 text-white placeholder-white/80 lg:w-72",
            }
        ),
    )


def reason_of(request: HttpRequest) -> str:
    """The reason that came with an act."""
    return request.POST.get("reason", "").strip()[:REASON_LIMIT]
