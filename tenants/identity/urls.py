"""URLs of sign-in by OpenID Connect and of second factors, below the console.

They are the pages of django-allauth that the platform uses; its pages for signing up, passwords and addresses are left
out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.views import logout, reauthenticate
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as keys
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from redis import RedisError

from tenants.access.caller import access_of
from tenants.access.errors import SecondFactorRequiredError
from tenants.console.site import console_site
from tenants.identity.pages import codes_away_page
from tenants.identity.views import provider_callback, provider_login


def _checked(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return the view of codes in the frame of the console; 503 while Redis, which counts the codes, is away."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except RedisError as error:
            return codes_away_page(request, error)
        if isinstance(response, TemplateResponse):
            response.context_data = {**console_site.each_context(request), **(response.context_data or {})}
        return response

    return checked


def _of_console(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return the view for people with a role; others are redirected to the log-in."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        access = access_of(request)
        must_enrol = isinstance(access.refusal, SecondFactorRequiredError)
        if access.role is None and access.platform_role is None and not must_enrol:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return _checked(view)(request, *args, **kwargs)

    return guarded


urlpatterns: list[URLPattern] = [
    # allauth's names of the console's own page, and of the way out of a log-in that waits for its second factor.
    path("", console_site.login, name="account_login"),
    path("cancel/", require_POST(logout), name="account_logout"),
    path("password/", _of_console(reauthenticate), name="account_reauthenticate"),
    path("second-factor/", _of_console(factors.index), name="mfa_index"),
    path("second-factor/authenticate/", _checked(factors.authenticate), name="mfa_authenticate"),
    path("second-factor/reauthenticate/", _of_console(factors.reauthenticate), name="mfa_reauthenticate"),
    path("second-factor/activate/", _of_console(totp.activate_totp), name="mfa_activate_totp"),
    path("second-factor/deactivate/", _of_console(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("second-factor/recovery-codes/", _of_console(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "second-factor/recovery-codes/generate/",
        _of_console(codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "second-factor/recovery-codes/download/",
        _of_console(codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
    path("second-factor/keys/", _of_console(keys.list_webauthn), name="mfa_list_webauthn"),
    path("second-factor/keys/add/", _of_console(keys.add_webauthn), name="mfa_add_webauthn"),
    path("second-factor/keys/<int:pk>/remove/", _of_console(keys.remove_webauthn), name="mfa_remove_webauthn"),
    path(
        "second-factor/keys/reauthenticate/",
        _of_console(keys.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("<slug:provider_id>/", provider_login, name="openid_connect_login"),
    path("<slug:provider_id>/callback/", provider_callback, name="openid_connect_callback"),
]
