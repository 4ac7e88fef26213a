"""The console's log-in form."""

from __future__ import annotations

from typing import Any, override

from django.contrib.auth.forms import AuthenticationForm as PlainForm
from unfold.forms import AuthenticationForm


class ConsoleLoginForm(AuthenticationForm):
    """Django's log-in form in unfold's style, for every active account whatever its `is_staff`."""

    @override
    def confirm_login_allowed(self, user: Any) -> None:
        PlainForm.confirm_login_allowed(self, user)
