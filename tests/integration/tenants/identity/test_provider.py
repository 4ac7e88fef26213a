"""Sign-in through a real OpenID Connect provider: offered, refused, and survived while the provider is away."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from pytest_django import Settings

from tests.conftest import PASSWORD
from tests.integration.tenants.identity.conftest import LOGIN, START, SignIn
from tests.oidc.server import NEEDS_NPM, OidcServer
from tests.web_server import web_server

pytestmark = [pytest.mark.django_db, NEEDS_NPM]


def use(settings: Settings, oidc: OidcServer, issuer: str) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = issuer


def test_log_in_page_offers_the_provider_by_its_name(oidc: OidcServer) -> None:
    page = Client().get(f"{LOGIN}?next=/admin/roles/").content.decode()
    assert "Sign in with Test login" in page
    assert 'href="/admin/sign-in/oidc/?next=%2Fadmin%2Froles%2F"' in page


def test_log_in_page_without_provider_shows_nothing_of_it() -> None:
    assert "sign-in" not in Client().get(LOGIN).content.decode()
    assert Client().get(START).status_code == 404


def test_cancelled_sign_in_shows_a_page(sign_in: SignIn) -> None:
    answer = sign_in(Client())
    assert answer.status_code == 401
    assert "The sign-in was cancelled." in answer.content.decode()


def test_answer_with_an_unknown_state_is_refused(oidc: OidcServer) -> None:
    answer = Client().get("/admin/sign-in/oidc/callback/?code=x&state=y")
    assert answer.status_code == 401
    assert not User.objects.exists()


def test_provider_that_is_away_gives_503_and_local_log_in_works(
    oidc: OidcServer, settings: Settings, acme_user: User
) -> None:
    use(settings, oidc, "http://127.0.0.1:9")
    answer = Client().get(START)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Test login is unavailable" in answer.content.decode()
    client = Client()
    assert client.post(LOGIN, {"username": "alice", "password": PASSWORD}).status_code == 302
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no JSON"])
def test_provider_with_a_broken_discovery_document_gives_503(oidc: OidcServer, settings: Settings, body: bytes) -> None:
    with web_server() as server:
        server.answers["/.well-known/openid-configuration"] = (200, {"Content-Type": "application/json"}, body)
        use(settings, oidc, server.url)
        assert Client().get(START).status_code == 503


def test_sign_up_and_password_pages_of_the_library_do_not_exist() -> None:
    names = ("account_signup", "account_email", "account_reset_password")
    for name in (*names, "socialaccount_signup", "socialaccount_connections"):
        with pytest.raises(NoReverseMatch):
            reverse(name)
