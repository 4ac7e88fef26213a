"""Sign-in through a real OpenID Connect server, its absence, and the account for emergencies meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from django.contrib.auth.models import User

from scheduling.identity.configured import CLAIM_RULES
from scheduling.models import Alert
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import ClaimRule, Membership, Role, Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.conftest import PASSWORD
from tests.oidc.server import CLIENT_ID, CLIENT_SECRET, NEEDS_NPM, OidcServer, oidc_server

pytestmark = NEEDS_NPM
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def oidc(port: int) -> Iterator[OidcServer]:
    with oidc_server(f"http://127.0.0.1:{port}/admin/sign-in/oidc/callback/") as server:
        yield server


@pytest.fixture
def rule(acme: Tenant) -> Iterator[ClaimRule]:
    values = {"claim": "groups", "value": f"of {acme.slug}", "tenant": acme, "role": "developer", "is_confirmed": True}
    made = CLAIM_RULES.save(ClaimRule(), values)
    yield made
    CLAIM_RULES.delete(made)


def browser(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True)


def test_person_signs_in_through_the_provider_and_the_account_for_emergencies_without_it(
    platform: Platform, oidc: OidcServer, port: int, acme: Tenant, rule: ClaimRule
) -> None:
    name = f"emergency-{acme.slug}"
    add_member(tenant=acme, user=User.objects.create_user(name, password=PASSWORD), role=Role.OWNER)
    variables = {
        "OIDC_ISSUER": oidc.issuer,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "OIDC_NAME": "Test login",
        "BREAK_GLASS_ACCOUNTS": name,
    }
    platform.start_web(port, **variables)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the web server answers")
    oidc.person(sub=acme.slug, preferred_username=f"maria-{acme.slug}", groups=[rule.value])

    with browser(port) as client:
        page = client.get("/admin/")
        assert "Sign in with Test login" in page.text
        link = re.search(r'id="sign-in-provider"[^>]* href="([^"]+)"', page.text)
        assert link is not None
        signed_in = client.get(link[1])
        assert (signed_in.status_code, signed_in.url.path) == (200, "/admin/")
        assert f"maria-{acme.slug}" in signed_in.text
        with all_tenants():
            member = Membership.objects.get(tenant=acme, is_by_claims=True)
        assert member.role == Role.DEVELOPER

        oidc.stop()
        assert client.get("/admin/scheduling/job/").status_code == 200

    with browser(port) as client:
        away = client.get(link[1])
        assert (away.status_code, "Test login is unavailable" in away.text) == (503, True)
        token = _TOKEN.search(client.get("/admin/login/").text)
        assert token is not None
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        logged_in = client.post("/admin/login/", data=form)
        assert (logged_in.status_code, logged_in.url.path) == (200, "/admin/")

    def fires() -> bool:
        with all_tenants():
            return Alert.objects.filter(object_key="check:break_glass", state="firing").exists()

    eventually(fires, what="the alert about the account for emergencies fires")
