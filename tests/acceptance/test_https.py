"""Console and API behind a proxy that terminates TLS, as in production."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User

from tenants.access.memberships import add_member
from tenants.models import Role, Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.acceptance.tls import https_before, make_certificates
from tests.keys import issue_api_key

PASSWORD = "correct horse battery staple"
# A browser gives up later.
MOST_REDIRECTS = 3


@pytest.fixture
def plain(db: None, shared_platform: Platform) -> Iterator[httpx.Client]:
    """Return a client of the web server without the proxy."""
    port = free_port()
    web = shared_platform.start_web(port, HTTPS_ONLY="true", ALLOWED_HOSTS="127.0.0.1")
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the web server answers")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    web.stop()


@pytest.fixture
def secure(plain: httpx.Client, tmp_path: Path) -> Iterator[httpx.Client]:
    """Return a client that trusts the authority of the proxy's certificate."""
    certificates = make_certificates(tmp_path)
    trust = ssl.create_default_context(cafile=certificates.authority)
    assert plain.base_url.port is not None
    with (
        https_before(plain.base_url.port, certificates) as port,
        httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=trust, follow_redirects=True, max_redirects=MOST_REDIRECTS
        ) as client,
    ):
        yield client


def test_cookies_of_https_login_are_bound_to_the_host(secure: httpx.Client, acme: Tenant) -> None:
    user = User.objects.create_user(f"owner-of-{acme.slug}", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=user, role=Role.OWNER)
    page = secure.get("/")
    assert (page.status_code, page.url.path, page.url.scheme) == (200, "/admin/login/", "https")
    assert page.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None
    form = {"csrfmiddlewaretoken": found[1], "username": user.username, "password": PASSWORD, "next": "/admin/"}
    overview = secure.post("/admin/login/", data=form, headers={"Referer": str(page.url)})
    assert (overview.status_code, overview.url.path, overview.url.scheme) == (200, "/admin/", "https")
    given = [cookie for answer in (page, *overview.history) for cookie in answer.headers.get_list("set-cookie")]
    assert {cookie.partition("=")[0] for cookie in given} == {"__Host-csrf", "__Host-device", "__Host-session"}
    for cookie in given:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "path=/", "httponly", "samesite=lax"} <= attributes, cookie
        assert not any(attribute.startswith("domain") for attribute in attributes), cookie


def test_api_answers_over_https(secure: httpx.Client, acme: Tenant) -> None:
    token = issue_api_key(tenant=acme, name="secure").token
    answer = secure.post("/api/v1/jobs/", json={"kind": "noop"}, headers={"Authorization": f"Api-Key {token}"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"].startswith("https://127.0.0.1:")


def test_plain_http_serves_redirects_and_probes_only(plain: httpx.Client) -> None:
    for path in ("/admin/", "/admin/login/", "/api/v1/jobs/"):
        answer = plain.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (
            301,
            f"https://127.0.0.1:{plain.base_url.port}{path}",
        )
        assert "set-cookie" not in answer.headers
    assert plain.get("/health/live").status_code == 200
    assert plain.get("/metrics").status_code == 404  # no token is set, and there is no redirect
