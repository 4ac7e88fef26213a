"""Passkeys and security keys as second factors: their pages, and malformed answers of browsers."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.test import Client
from django.urls import NoReverseMatch, reverse

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.models import Tenant
from tests.conftest import PASSWORD
from tests.integration.tenants.identity.steps import AUTHENTICATE, PAGES, actions, is_in, log_in
from tests.passkeys import Passkey

pytestmark = pytest.mark.django_db
ADD = f"{PAGES}keys/add/"


@pytest.fixture
def client(acme_user: User) -> Client:
    """Log alice in, with a password that was entered again just now."""
    client = Client(SERVER_NAME="localhost")
    log_in(client)
    client.post(f"/admin/sign-in/password/?next={ADD}", {"password": PASSWORD})
    return client


@pytest.fixture
def passkey(client: Client) -> Passkey:
    """Give alice a passkey, by the page."""
    made = Passkey()
    options = client.get(ADD).context["js_data"]["creation_options"]
    answer = client.post(ADD, {"name": "laptop", "credential": made.register(options)})
    assert answer.headers["Location"] == f"{PAGES}recovery-codes/"
    return made


def sign(passkey: Passkey, page: Any) -> str:
    return passkey.sign(page.context["js_data"]["request_options"])


def test_key_completes_the_log_in_and_is_audited(passkey: Passkey) -> None:
    assert actions().count("second_factor.added") == 2
    client = Client(SERVER_NAME="localhost")
    assert log_in(client).headers["Location"] == AUTHENTICATE
    answer = client.post(AUTHENTICATE, {"credential": sign(passkey, client.get(AUTHENTICATE))})
    assert (answer.status_code, is_in(client)) == (302, True)


def test_answer_of_a_key_is_accepted_once(passkey: Passkey) -> None:
    client = Client(SERVER_NAME="localhost")
    log_in(client)
    credential = sign(passkey, client.get(AUTHENTICATE))
    client.post(AUTHENTICATE, {"credential": credential})
    client.post("/admin/logout/")
    log_in(client)
    assert client.post(AUTHENTICATE, {"credential": credential}).status_code == 200
    assert not is_in(client)


def test_key_is_a_fresh_factor_for_an_act(client: Client, passkey: Passkey, acme: Tenant) -> None:
    job = submit_job(tenant=acme, request=JobRequest("noop", {"a": "hidden"})).job
    reveal = f"/admin/scheduling/job/{job.pk}/act/reveal/"
    asked = client.post(reveal, {"reason": "x"})
    assert 'id="step-up-key"' in asked.content.decode()
    assert "hidden" in client.post(reveal, {"reason": "x", "factor-credential": sign(passkey, asked)}).content.decode()


def test_form_page_leads_to_the_page_of_the_factor(client: Client, passkey: Passkey) -> None:
    asked = client.get("/admin/tenants/apikey/add/").headers["Location"]
    assert asked.startswith(f"{PAGES}reauthenticate/?next=")
    assert f"{PAGES}keys/reauthenticate/" in client.get(asked).content.decode()
    page = client.get(f"{PAGES}keys/reauthenticate/?next=/admin/tenants/apikey/add/")
    form = {"credential": sign(passkey, page), "next": "/admin/tenants/apikey/add/"}
    back = client.post(f"{PAGES}keys/reauthenticate/", form)
    assert back.headers["Location"] == "/admin/tenants/apikey/add/"
    assert client.get(back.headers["Location"]).status_code == 200


def test_removed_key_is_audited_with_the_recovery_codes(client: Client, passkey: Passkey) -> None:
    key = Authenticator.objects.get(type="webauthn")
    assert "laptop" in client.get(f"{PAGES}keys/").content.decode()
    assert client.post(f"{PAGES}keys/{key.pk}/remove/").status_code == 302
    assert not Authenticator.objects.exists()
    assert actions().count("second_factor.removed") == 2


def test_page_of_factors_offers_keys(client: Client) -> None:
    assert f'href="{ADD}"' in client.get(PAGES).content.decode()
    assert "No security keys have been added." in client.get(f"{PAGES}keys/").content.decode()


def test_page_that_adds_a_key_asks_the_browser_for_one(client: Client) -> None:
    page = client.get(ADD)
    options = page.context["js_data"]["creation_options"]["publicKey"]
    assert (options["rp"]["id"], options["user"]["name"]) == ("localhost", "alice")


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "null",
        "[]",
        "{}",
        "no JSON",
        "[" * 10_000,
        '{"id": "x"}',
        '{"id": "x", "rawId": "eA", "response": {}, "type": "public-key"}',
        '{"id": "eA", "rawId": "eA", "clientExtensionResults": ""}',
        '{"id": "eA", "rawId": "eA", "response": {"clientDataJSON": "e30", "attestationObject": {}}}',
        '{"id": "\u00e9", "rawId": "\u00e9", "response": {}}',
        '{"id": "eA", "rawId": "eA", "response": {"clientDataJSON": "e30", "attestationObject": "eA"}}',
    ],
)
def test_malformed_credential_is_refused(client: Client, credential: str) -> None:
    client.get(ADD)
    answer = client.post(ADD, {"name": "mine", "credential": credential})
    assert (answer.status_code, bool(answer.context["form"].errors)) == (200, True)
    assert not Authenticator.objects.exists()


def test_long_name_of_a_key_is_refused(client: Client) -> None:
    answer = client.post(ADD, {"name": "x" * 101, "credential": "{}"})
    assert "name" in answer.context["form"].errors


def test_key_of_another_account_is_not_found(client: Client, staff: User) -> None:
    key = Authenticator.objects.create(user=staff, type=Authenticator.Type.WEBAUTHN, data={"name": "hers"})
    assert client.post(f"{PAGES}keys/{key.pk}/remove/").status_code == 404
    assert Authenticator.objects.filter(pk=key.pk).exists()


@pytest.mark.parametrize("credential", ["null", "[]", "no JSON", "[" * 10_000, '{"id": "x"}'])
def test_malformed_key_at_the_log_in_is_refused(secret: str, credential: str) -> None:
    client = Client()
    log_in(client)
    assert client.post(AUTHENTICATE, {"credential": credential}).status_code == 200
    assert client.get("/admin/").status_code == 302


def test_key_is_no_log_in_of_its_own() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("mfa_login_webauthn")
