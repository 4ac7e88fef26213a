"""A process in the role of a standby: it refuses changes and starts no work."""

from __future__ import annotations

import json

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.core.exceptions import MiddlewareNotUsed
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from scheduling.sites.middleware import StandbyMiddleware
from scheduling.sites.queries import standby_words
from tenants.startup_checks import STANDBY, StartupCheckError, run_startup_checks
from tests.conftest import PASSWORD
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db
MAKE = RequestFactory()


@pytest.fixture
def standby(change_platform_settings: ChangePlatformSettings) -> StandbyMiddleware:
    change_platform_settings(SITE_ROLE="standby")
    return StandbyMiddleware(lambda request: HttpResponse("answered"))


@pytest.mark.parametrize(
    "request_",
    [
        MAKE.get("/api/v1/jobs/"),
        MAKE.head("/admin/"),
        MAKE.options("/api/v1/jobs/"),
        MAKE.post("/admin/login/"),
        MAKE.post("/admin/logout/"),
        MAKE.post("/language/"),
    ],
)
def test_reads_and_log_ins_pass(standby: StandbyMiddleware, request_: HttpRequest) -> None:
    assert standby(request_).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_change_by_the_api_is_refused_with_a_code(standby: StandbyMiddleware, method: str) -> None:
    answer = standby(getattr(MAKE, method)("/api/v1/jobs/"))
    assert isinstance(answer, HttpResponse)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "site_standby")


def test_change_in_the_console_is_refused_with_a_page(standby: StandbyMiddleware) -> None:
    answer = standby(MAKE.post("/admin/scheduling/queue/add/"))
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 503
    assert b"Send the request to the active site" in answer.content


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "path", ["second-factor/authenticate/", "second-factor/reauthenticate/", "oidc/", "oidc/callback/?code=x&state=y"]
)
def test_sign_in_that_would_store_something_is_refused_with_a_page(
    standby: StandbyMiddleware, method: str, path: str
) -> None:
    answer = standby(getattr(MAKE, method)(f"/admin/sign-in/{path}"))
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 503
    assert b"Log in at the active site, or here with a local account without a second factor." in answer.content


def test_log_in_with_a_second_factor_leads_to_that_page(standby: StandbyMiddleware, acme_user: User) -> None:
    TOTP.activate(acme_user, generate_totp_secret())
    there = Client().post("/admin/login/", {"username": "alice", "password": PASSWORD}).headers["Location"]
    assert standby(MAKE.get(there)).status_code == 503


def test_active_site_has_no_such_middleware() -> None:
    with pytest.raises(MiddlewareNotUsed):
        StandbyMiddleware(lambda request: HttpResponse())
    assert standby_words() == ""


def test_standby_starts_no_process_but_web(standby: StandbyMiddleware) -> None:
    with pytest.raises(StartupCheckError, match="SITE_ROLE is standby"):
        run_startup_checks()
    run_startup_checks(ignored={STANDBY})
    for command in (["dispatch_jobs"], ["run_worker", "--pool=default"], ["run_auditor"], ["run_platform"]):
        with pytest.raises(CommandError, match=STANDBY):
            call_command(*command, skip_checks=False)
