"""Forms of second factors that check more than those of django-allauth."""

from __future__ import annotations

from typing import Any, override

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.utils.translation import gettext_lazy


class AddKeyForm(AddWebAuthnForm):
    """Form that adds a passkey or security key: its name is short, and a malformed answer of a browser is a fault."""

    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=100)

    @override
    def clean(self) -> dict[str, Any]:
        """Return the fields; add an error if the credential is not one that this session has asked for."""
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValueError as error:
            raise get_adapter().validation_error("incorrect_code") from error
        return cleaned
