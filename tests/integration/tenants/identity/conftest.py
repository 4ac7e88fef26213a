"""A real OpenID Connect server, and a browser that signs in through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.oidc.server import OidcServer, approve, oidc_server

LOGIN, START = "/admin/login/", "/admin/sign-in/oidc/"
SignIn = Callable[..., Any]


@pytest.fixture(scope="session")
def running_oidc() -> Iterator[OidcServer]:
    with oidc_server("http://testserver/admin/sign-in/oidc/callback/") as server:
        yield server


@pytest.fixture
def oidc(running_oidc: OidcServer, settings: Settings) -> OidcServer:
    names = {"OIDC_NAME": "Test login", "OIDC_ISSUER": running_oidc.issuer}
    settings.JOBS_PLATFORM = {**settings.JOBS_PLATFORM, **names}
    settings.SOCIALACCOUNT_PROVIDERS = running_oidc.settings()
    return running_oidc


@pytest.fixture
def sign_in(oidc: OidcServer) -> SignIn:
    """Sign a person with these claims in, and return the response of the callback."""

    def act(client: Client, **claims: Any) -> Any:
        oidc.person(**claims)
        answer = client.get(START)
        assert answer.status_code == 302, answer.content
        back = urlsplit(approve(answer.headers["Location"]))
        return client.get(f"{back.path}?{back.query}")

    return act


@pytest.fixture
def secret(acme_user: User) -> str:
    """Give alice, an owner of acme, a second factor."""
    made = generate_totp_secret()
    TOTP.activate(acme_user, made)
    return made
