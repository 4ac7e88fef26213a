"""A passkey in Chromium: added, used for the log-in, and asked for before an act, whose form keeps its input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY as RECORDS
from django.contrib.sessions.backends.db import SessionStore

from tenants.context import all_tenants
from tenants.models import Tier
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.browser.test_every_page_in_chinese import faults_of_texts
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser]
KEYS = "/admin/sign-in/second-factor/keys/"


@pytest.fixture
def tier() -> Iterator[str]:
    yield "passkeys"
    with all_tenants():
        Tier.objects.filter(pk="passkeys").delete()


def plug_in(console: Console) -> None:
    """Give the browser an authenticator; a passkey needs a name as host."""
    console.url = f"http://localhost:{urlsplit(console.url).port}"
    devtools = console.page.context.new_cdp_session(console.page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def make_stale(console: Console) -> None:
    """Let the session's second factor be older than STEP_UP_SECONDS."""
    (key,) = [each["value"] for each in console.page.context.cookies() if each["name"] == "sessionid"]
    session = SessionStore(session_key=key)
    session[RECORDS] = [{**record, "at": record["at"] - 301} for record in session[RECORDS]]
    session.save()


def test_passkey_is_added_logs_in_and_confirms_an_act_whose_form_keeps_its_input(console: Console, tier: str) -> None:
    page = console.page
    plug_in(console)
    console.log_in()
    console.open(f"{KEYS}add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/recovery-codes/")
    console.open(KEYS)
    assert page.get_by_role("heading", name="laptop").is_visible()

    page.context.clear_cookies()
    console.open("/admin/")
    page.get_by_label("Username").fill(console.user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Use a security key").click()
    page.get_by_role("heading", name="Overview").wait_for()

    console.open("/admin/tenants/tier/add/")
    page.locator("#id_slug").fill(tier)
    page.locator("#id_name").fill("Passkeys & <co>")
    page.locator("#id_rank").fill("9876")
    make_stale(console)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Confirm with your second factor").wait_for()
    assert find_violations(page) == []
    assert not Tier.objects.filter(pk=tier).exists()
    page.get_by_role("button", name="Use a security key").click()
    page.wait_for_url("**/tenants/tier/")
    assert Tier.objects.get(pk=tier).name == "Passkeys & <co>"


def test_pages_of_passkeys_are_chinese_in_a_chinese_browser(chinese_console: Console) -> None:
    page = chinese_console.page
    plug_in(chinese_console)
    chinese_console.log_in()
    faults = []
    chinese_console.open(f"{KEYS}add/")
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    page.locator("#mfa_webauthn_add").wait_for()
    faults += faults_of_texts(page)
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url("**/recovery-codes/")
    faults += faults_of_texts(page)
    for path in (KEYS, KEYS.removesuffix("keys/"), f"{KEYS}reauthenticate/", f"{KEYS}../reauthenticate/"):
        chinese_console.open(path)
        faults += faults_of_texts(page)
        assert find_violations(page) == [], path
    page.context.clear_cookies()
    chinese_console.open("/admin/")
    page.locator("#id_username").fill(chinese_console.user.username)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("form button[type=submit], form input[type=submit]").first.click()
    page.locator("#mfa_webauthn_authenticate").wait_for()
    faults += faults_of_texts(page)
    page.locator("#mfa_webauthn_authenticate").click()
    page.wait_for_url(re.compile("/admin/$"))
    chinese_console.open("/admin/tenants/tier/add/")
    for name, value in (("slug", "passkeys"), ("name", "passkeys"), ("rank", "9876")):
        page.locator(f"#id_{name}").fill(value)
    make_stale(chinese_console)
    page.locator("input[name=_save], button[name=_save]").first.click()
    page.locator("#step-up").wait_for()
    faults += faults_of_texts(page)
    assert faults == []
