"""The console's log-in form: for every active account, whatever its `is_staff`."""

from __future__ import annotations

from typing import Any, override

from django.contrib.auth.forms import AuthenticationForm as PlainForm
from unfold.forms import AuthenticationForm


class ConsoleLoginForm(AuthenticationForm):
    """Django's log-in in the shell's style; the pages decide what the account may see."""

    @override
    def confirm_login_allowed(self, user: Any) -> None:
        PlainForm.confirm_login_allowed(self, user)
