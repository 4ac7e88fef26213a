"""Second factors: enrolled, asked for at log-ins, required by role or plan, and removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from tenants.context import all_tenants
from tenants.models import Plan, Tenant
from tenants.plans.service import PLANS, update_plan
from tests.conftest import PASSWORD
from tests.integration.tenants.identity.steps import (
    AUTHENTICATE,
    PAGES,
    REAUTHENTICATE,
    actions,
    code_of,
    is_in,
    log_in,
)
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db
ENROL = f"{PAGES}activate/"


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
        call_command("remove_second_factor", "alice", "--dry-run")
        assert Authenticator.objects.count() == 1
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
            assert (answer.redirect_chain[-1][0], answer.status_code) == (PAGES, 200)
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

    def test_plan_that_requires_a_factor_leads_its_members_to_enrolment(self, acme: Tenant, acme_user: User) -> None:
        update_plan(plan=acme.plan, changes={"needs_second_factor": True}, reason="policy")
        client = Client()
        log_in(client)
        assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith(PAGES)
        assert client.get("/api/v1/jobs/").json()["code"] == "second_factor_required"
        TOTP.activate(acme_user, generate_totp_secret())
        assert is_in(client)

    def test_plan_that_requires_a_factor_leaves_the_platform_and_keys_alone(
        self, acme: Tenant, staff: User, api_client: Callable[[Tenant], APIClient]
    ) -> None:
        update_plan(plan=acme.plan, changes={"needs_second_factor": True}, reason="policy")
        client = Client()
        log_in(client, "stella")
        assert is_in(client)
        assert client.get("/api/v1/jobs/", headers={"X-Tenant": acme.slug}).status_code == 200
        assert api_client(acme).get("/api/v1/jobs/").status_code == 200

    def test_version_of_a_plan_before_the_requirement_is_put_back_without_it(self, acme: Tenant) -> None:
        content = {name: value for name, value in PLANS.describe(acme.plan).items() if name != "needs_second_factor"}
        update_plan(plan=acme.plan, changes={"needs_second_factor": True}, reason="policy")
        plan = Plan.objects.get(pk=acme.plan.pk)
        with all_tenants():
            PLANS.check(plan, content)
            PLANS.put(plan, content)
        assert not Plan.objects.get(pk=acme.plan.pk).needs_second_factor

    def test_removed_factor_is_audited(self, secret: str) -> None:
        client = Client()
        log_in(client)
        client.post(AUTHENTICATE, {"code": code_of(secret)})
        client.post(REAUTHENTICATE, {"code": code_of(secret, steps=1)})
        assert client.post(f"{PAGES}deactivate/").status_code == 302
        assert not Authenticator.objects.exists()
        assert "second_factor.removed" in actions()
