"""Log-in with a local password, followed by the second factor if the account has one."""

from __future__ import annotations

from typing import Any, override

from allauth.account.utils import perform_login
from django.contrib.auth.views import LoginView
from django.http import HttpResponse


class ConsoleLoginView(LoginView):
    """Django's log-in page, which leaves the log-in to django-allauth once the password is right."""

    @override
    def form_valid(self, form: Any) -> HttpResponse:
        """Log the account in, or redirect to the page that asks for its second factor."""
        response: HttpResponse = perform_login(self.request, form.get_user(), redirect_url=self.get_success_url())
        return response
