"""Log-in form of the console."""

from __future__ import annotations

from typing import Any, override

from django.contrib.auth.forms import AuthenticationForm as PlainForm
from unfold.forms import AuthenticationForm


class ConsoleLoginForm(AuthenticationForm):
    """Log-in form in unfold's style that accepts every active account, whether or not `is_staff` is set."""

    @override
    def confirm_login_allowed(self, user: Any) -> None:
        PlainForm.confirm_login_allowed(self, user)
