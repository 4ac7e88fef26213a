"""A form field in which a user is typed by name, because a list of choices would reveal all accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.access.people_queries import find_user
from tenants.exceptions import UserNotFoundError

USER_HELP = gettext_lazy("The user name or e-mail address of an account.")


class UserField(forms.CharField):
    """Form field that takes a user name or e-mail address and returns the user account."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, *, max_length: int = 254, help_text: Any = USER_HELP, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, help_text=help_text, **kwargs)

    def clean(self, value: Any) -> Any:
        try:
            return find_user(super().clean(value))
        except UserNotFoundError as refusal:
            raise ValidationError(refusal.detail) from refusal
