"""Second factors: enrolled, asked for at log-ins, required by role, and fresh for what a stolen session must not do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY as RECORDS
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.conftest import PASSWORD
from tests.integration.tenants.identity.conftest import LOGIN
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db
PAGES = "/admin/sign-in/second-factor/"
AUTHENTICATE, REAUTHENTICATE = f"{PAGES}authenticate/", f"{PAGES}reauthenticate/"
ENROL = f"{PAGES}activate/"


def code_of(secret: str, steps: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


@pytest.fixture
def secret(acme_user: User) -> str:
    """Give alice, an owner of acme, a second factor."""
    made = generate_totp_secret()
    TOTP.activate(acme_user, made)
    return made


def log_in(client: Client, name: str = "alice") -> Any:
    return client.post(LOGIN, {"username": name, "password": PASSWORD})


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def make_stale(client: Client) -> None:
    session = client.session
    session[RECORDS] = [{**record, "at": record["at"] - 301} for record in session.get(RECORDS, [])]
    session.save()


def actions() -> list[str]:
    with all_tenants():
        return list(AuditLogEntry.objects.values_list("action", flat=True))


@pytest.fixture
def job(acme: Tenant) -> Job:
    return submit_job(tenant=acme, request=JobRequest("noop", {"a": "hidden"})).job


class TestLogIn:
    def test_password_alone_opens_nothing(self, secret: str) -> None:
        client = Client()
        assert log_in(client).headers["Location"] == AUTHENTICATE
        assert not is_in(client)
        assert "session.opened" not in actions()

    def test_code_completes_the_log_in(self, secret: str) -> None:
        client = Client()
        log_in(client)
        assert client.post(AUTHENTICATE, {"code": "000000"}).status_code == 200
        assert not is_in(client)
        assert client.post(AUTHENTICATE, {"code": code_of(secret)}).status_code == 302
        assert is_in(client)
        assert {"second_factor.refused", "session.opened"} <= set(actions())

    def test_code_is_accepted_once(self, secret: str) -> None:
        code = code_of(secret)
        for client, status in ((Client(), 302), (Client(), 200)):
            log_in(client)
            assert client.post(AUTHENTICATE, {"code": code}).status_code == status

    def test_guessed_codes_are_limited(self, secret: str) -> None:
        client = Client()
        log_in(client)
        for _ in range(6):
            client.post(AUTHENTICATE, {"code": "000000"})
        assert client.post(AUTHENTICATE, {"code": code_of(secret)}).status_code == 200
        assert not is_in(client)

    def test_code_gets_503_while_redis_is_away(self, secret: str, settings: Settings) -> None:
        client = Client()
        log_in(client)
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/1"}}
        answer = client.post(AUTHENTICATE, {"code": code_of(secret)})
        assert (answer.status_code, "Codes cannot be checked" in answer.content.decode()) == (503, True)

    def test_secret_is_stored_encrypted(self, secret: str) -> None:
        assert secret not in str(Authenticator.objects.get().data)

    def test_lost_factor_is_removed_by_a_command(self, secret: str) -> None:
        call_command("remove_second_factor", "alice", "--reason", "lost")
        client = Client()
        log_in(client)
        assert is_in(client)


class TestEnrolment:
    def test_person_enrols_and_gets_recovery_codes_that_log_in_once(self, acme_user: User) -> None:
        client = Client()
        log_in(client)
        assert "Second factor" in client.get("/admin/").content.decode()
        assert client.get(ENROL).headers["Location"].startswith("/admin/sign-in/password/")
        client.post(f"/admin/sign-in/password/?next={ENROL}", {"password": PASSWORD})
        page = client.get(ENROL)
        secret = page.context["form"].secret
        assert "data:image/svg+xml" in page.content.decode()
        answer = client.post(ENROL, {"code": code_of(secret)})
        assert answer.headers["Location"] == f"{PAGES}recovery-codes/"
        codes = client.get(answer.headers["Location"]).context["unused_codes"]
        assert len(codes) == 10
        assert actions().count("second_factor.added") == 2
        for other, status in ((Client(), 302), (Client(), 200)):
            log_in(other)
            assert other.post(AUTHENTICATE, {"code": codes[0]}).status_code == status

    def test_role_that_requires_a_factor_leads_to_enrolment(self, acme_user: User) -> None:
        client = Client()
        log_in(client)
        with override_platform_settings(SECOND_FACTOR_ROLES=["owner"]):
            answer = client.get("/admin/", follow=True)
            assert answer.redirect_chain[-1][0] == f"/admin/sign-in/password/?next={ENROL.replace('/', '%2F')}"
            refused = client.get("/api/v1/jobs/")
            assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")
            TOTP.activate(acme_user, generate_totp_secret())
            assert is_in(client)

    def test_role_that_requires_a_factor_does_not_concern_others_and_keys(
        self, acme: Tenant, acme_user: User, api_client: Callable[[Tenant], APIClient]
    ) -> None:
        client = Client()
        log_in(client)
        with override_platform_settings(SECOND_FACTOR_ROLES=["developer", "admin"]):
            assert is_in(client)
            assert api_client(acme).get("/api/v1/jobs/").status_code == 200

    def test_platform_role_that_requires_a_factor_sees_nothing_before(self, staff: User) -> None:
        client = Client()
        log_in(client, "stella")
        with override_platform_settings(SECOND_FACTOR_ROLES=["admin", "operator", "auditor"]):
            assert client.get("/admin/").status_code == 302
            assert client.get("/api/v1/tiers/").status_code == 403

    def test_removed_factor_is_audited(self, secret: str) -> None:
        client = Client()
        log_in(client)
        client.post(AUTHENTICATE, {"code": code_of(secret)})
        client.post(REAUTHENTICATE, {"code": code_of(secret, steps=1)})
        assert client.post(f"{PAGES}deactivate/").status_code == 302
        assert not Authenticator.objects.exists()
        assert "second_factor.removed" in actions()


class TestStepUp:
    @pytest.fixture
    def client(self, secret: str) -> Client:
        client = Client()
        log_in(client)
        client.post(AUTHENTICATE, {"code": code_of(secret)})
        return client

    def reveal(self, client: Client, job: Job) -> Any:
        return client.post(f"/admin/scheduling/job/{job.pk}/act/reveal/", {"reason": "x"})

    def test_reveal_needs_a_fresh_code_and_then_works(self, client: Client, secret: str, job: Job) -> None:
        make_stale(client)
        asked = self.reveal(client, job).headers["Location"]
        assert asked.startswith(f"{REAUTHENTICATE}?next=")
        assert "job.payload_revealed" not in actions()
        page = f"/admin/scheduling/job/{job.pk}/change/"
        back = client.post(asked, {"code": code_of(secret, steps=1), "next": page})
        assert back.headers["Location"] == page
        assert self.reveal(client, job).status_code == 200

    def test_fresh_log_in_with_a_factor_is_enough(self, client: Client, job: Job) -> None:
        assert self.reveal(client, job).status_code == 200

    def test_account_without_a_factor_is_not_asked(self, acme_user: User, job: Job) -> None:
        client = Client()
        log_in(client)
        assert self.reveal(client, job).status_code == 200

    def test_session_at_the_api_sees_payloads_only_after_a_fresh_code(self, client: Client, job: Job) -> None:
        assert client.get(f"/api/v1/jobs/{job.pk}/").json()["payload"] == {"a": "hidden"}
        make_stale(client)
        assert client.get(f"/api/v1/jobs/{job.pk}/").json()["payload"] != {"a": "hidden"}

    def test_plan_forms_and_keys_need_a_fresh_code(self, staff: User) -> None:
        made = generate_totp_secret()
        TOTP.activate(staff, made)
        client = Client()
        log_in(client, "stella")
        client.post(AUTHENTICATE, {"code": code_of(made)})
        assert client.get("/admin/tenants/plan/add/").status_code == 200
        make_stale(client)
        for path in ("/admin/tenants/plan/add/", "/admin/tenants/apikey/add/"):
            assert client.get(path).headers["Location"].startswith(REAUTHENTICATE), path
        refused = client.post("/api/v1/tiers/", {"slug": "new"}, content_type="application/json")
        assert refused.status_code == 403
