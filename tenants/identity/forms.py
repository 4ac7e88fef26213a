"""Forms of passkeys and security keys, which refuse what no browser sends; those of django-allauth fail."""

from __future__ import annotations

from typing import Any, override

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn.forms import AddWebAuthnForm, AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from django import forms
from django.utils.translation import gettext_lazy
from fido2.webauthn import AuthenticationResponse, RegistrationResponse

from tenants.console.json_fields import StrictJSONField


class CredentialField(StrictJSONField):
    """Hidden field with the answer of a browser, as JSON."""

    widget = forms.HiddenInput

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self._shape = shape

    @override
    def clean(self, value: Any) -> Any:
        """Return the JSON value; raise `ValidationError` if it does not have the shape."""
        found = super().clean(value)
        try:
            self._shape.from_dict(found)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise get_adapter().validation_error("incorrect_code") from error
        return found


class AddKeyForm(AddWebAuthnForm):
    """Form that adds a key."""

    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=100)
    credential = CredentialField(RegistrationResponse)


class LogInKeyForm(AuthenticateWebAuthnForm):
    """Form of the key at a log-in."""

    credential = CredentialField(AuthenticationResponse)


class FreshKeyForm(ReauthenticateWebAuthnForm):
    """Form of the key for a fresh second factor."""

    credential = CredentialField(AuthenticationResponse)
