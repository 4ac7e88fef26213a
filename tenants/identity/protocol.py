"""Protocol of the OpenID Connect provider, as django-allauth speaks it."""

from __future__ import annotations

from typing import Any, override

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter

from tenants.identity.pages import provider_away_page

_ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


class ProviderProtocol(OpenIDConnectOAuth2Adapter):
    """Protocol of the provider, whose discovery document must be reachable and whole."""

    @property
    @override
    def openid_config(self) -> dict[str, Any]:
        """Return the discovery document. End the request with 503 if the provider does not return a whole one."""
        try:
            found: Any = super().openid_config
        except (requests.RequestException, AttributeError) as error:
            # The library calls a method of whatever JSON it gets.
            raise ImmediateHttpResponse(provider_away_page(self.request, error)) from error
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _ENDPOINTS):
            fault = OAuth2Error(f"The discovery document lacks one of {', '.join(_ENDPOINTS)}.")
            raise ImmediateHttpResponse(provider_away_page(self.request, fault))
        return found
