"""Form of a webhook. It applies the same checks as the API, and shows each fault at its field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from scheduling.subscriptions.registry import JOB_EVENTS, MAX_FILTER_CHARACTERS
from tenants.exceptions import DomainError
from workloads.webhooks.models import Webhook
from workloads.webhooks.service import EDITABLE_FIELDS, check_values


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a webhook: its name, URL, events and job filter."""

    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events of jobs"),
        choices=[(name, name) for name in JOB_EVENTS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy(
            "Events of the tenant's jobs that it receives from now on. Without any, only those of batches that name it."
        ),
    )
    job_filter = forms.CharField(
        label=gettext_lazy("Job filter"),
        required=False,
        max_length=MAX_FILTER_CHARACTERS,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("A filter such as kind:noop tag:night; empty: all jobs."),
    )

    class Meta:
        model = Webhook
        fields = EDITABLE_FIELDS

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in EDITABLE_FIELDS:
            if name in values:
                try:
                    values |= check_values({name: values[name]})
                except DomainError as refusal:
                    self.add_error(name, refusal.detail)
        return values
