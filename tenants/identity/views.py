"""Views that send a person to the OpenID Connect provider and receive the answer."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.http import Http404, HttpRequest, HttpResponse

from tenants.identity.protocol import ProviderProtocol


def provider_login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Redirect to the provider; the answer is 503 while it is away, 404 if none is configured."""
    if request.GET.get("process", "login") != "login":
        # The library would join the provider's account to the one that is logged in.
        raise Http404
    return _answer(OAuth2LoginView, request, provider_id)


def provider_callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Receive the provider's answer and log the person in, or show why not."""
    return _answer(OAuth2CallbackView, request, provider_id)


def _answer(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        response: HttpResponse = view.adapter_view(ProviderProtocol(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    return response
