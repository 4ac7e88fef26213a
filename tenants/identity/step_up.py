"""Fresh second factors, asked for before acts that a stolen session must not do."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.mfa.base.forms import ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.mfa.webauthn.internal.auth import begin_authentication
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from redis import RedisError

from tenants.access.permissions import Permission
from tenants.console.site import console_site
from tenants.identity.factors import STEP_UP, is_stale
from tenants.identity.forms import FreshKeyForm
from tenants.identity.pages import codes_away_page

# Of the fields that the page adds to those of the act.
PREFIX: Final = "factor"
_PAGE = "tenants/admin/step_up.html"


def ask_for_factor(request: HttpRequest, permission: Permission | None, back: str = "") -> HttpResponse | None:
    """Return the page that asks for a fresh second factor; None if none is due, or the request brings a valid one.

    The page of a POST contains its input and repeats it with the factor. Other requests are redirected to the page of
    django-allauth, and then to ``back``, by default the overview.
    """
    if permission not in STEP_UP or not is_stale(request):
        return None
    back = back or reverse("admin:index")
    if request.method != "POST":
        methods = get_adapter().get_reauthentication_methods(request.user)
        url = next(method["url"] for method in methods if method["id"].startswith("mfa_reauthenticate"))
        return HttpResponseRedirect(f"{url}?{urlencode({REDIRECT_FIELD_NAME: back})}")
    try:
        return _check(request, back)
    except RedisError as error:
        return codes_away_page(request, error)


def _check(request: HttpRequest, back: str) -> HttpResponse | None:
    """Return None if the request brings a valid factor, else the page with its input."""
    # Only the form of the way that the person has used is checked; an empty one states no fault.
    has_code, has_key = (bool(request.POST.get(f"{PREFIX}-{name}")) for name in ("code", "credential"))
    code = ReauthenticateForm(request.POST if has_code and not has_key else None, user=request.user, prefix=PREFIX)
    key = FreshKeyForm(request.POST if has_key else None, user=request.user, prefix=PREFIX)
    for form in (code, key):
        if form.is_bound and form.is_valid():
            form.save()
            return None
    own = [*(f"{PREFIX}-{name}" for name in (*code.fields, *key.fields)), "csrfmiddlewaretoken"]
    context: dict[str, Any] = {
        "forms": [form for form in (code, key) if form.is_bound],
        "code_name": code.add_prefix("code"),
        "credential_name": key.add_prefix("credential"),
        "given": [(name, values) for name, values in request.POST.lists() if name not in own],
        "files": list(request.FILES),
        "back": back,
    }
    if is_mfa_enabled(request.user, [Authenticator.Type.WEBAUTHN]):
        context["js_data"] = {"request_options": begin_authentication(request.user)}
    page = render(request, _PAGE, {**console_site.each_context(request), **context})
    # It contains what was entered.
    add_never_cache_headers(page)
    return page
