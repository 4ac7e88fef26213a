"""Messages of the console to whoever uses it."""

from __future__ import annotations

from typing import Any, override

from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest

from tenants.url_prefixes import CONSOLE_PREFIX


class ConsoleMessageMiddleware(MessageMiddleware):
    """Django's, for the console alone: the API has no such messages, and need not prepare for some."""

    @override
    def __call__(self, request: HttpRequest) -> Any:
        is_console = request.path_info.startswith(CONSOLE_PREFIX)
        return super().__call__(request) if is_console else self.get_response(request)
