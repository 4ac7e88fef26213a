"""Middleware of a standby, which refuses changes before a view runs."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import gettext

from scheduling.sites.exceptions import StandbyError
from scheduling.sites.queries import is_standby_role
from tenants.api.problems import problem_response
from tenants.url_prefixes import CONSOLE_PREFIX

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# They write cookies only.
_OPEN_PATHS = frozenset({f"{CONSOLE_PREFIX}login/", f"{CONSOLE_PREFIX}logout/", "/language/"})

_SIGN_IN = f"{CONSOLE_PREFIX}sign-in/"


class StandbyMiddleware:
    """Middleware that answers 503 `site_standby` to changes; at an active site it is not installed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not is_standby_role():
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(_SIGN_IN):
            return _refusal(
                gettext(
                    "Sign-in with a provider and codes of second factors store what was used, and cannot work at a "
                    "read-only standby. Nothing is lost. Log in at the active site, or here with a local account "
                    "without a second factor."
                )
            )
        if request.method in _SAFE_METHODS or request.path_info in _OPEN_PATHS:
            return self.get_response(request)
        error = StandbyError()
        if not request.path_info.startswith(CONSOLE_PREFIX):
            return problem_response(error)
        return _refusal(error.detail)


def _refusal(detail: str) -> HttpResponse:
    """Return a page with the status 503."""
    return HttpResponse(render_to_string("scheduling/standby.html", {"detail": detail}), status=503)
