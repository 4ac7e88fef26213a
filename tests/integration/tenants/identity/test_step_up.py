"""Fresh second factors before what a stolen session must not do; the input of the act survives the question."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants
from tenants.models import Tenant, Tier
from tests.integration.console.test_dead_letters import store_dead_letters
from tests.integration.tenants.identity.steps import (
    AUTHENTICATE,
    REAUTHENTICATE,
    actions,
    code_of,
    log_in,
    make_stale,
)

pytestmark = pytest.mark.django_db
CODE = "factor-code"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def given(page: Any) -> dict[str, str]:
    """Return the input that the page which asks for a code repeats."""
    found = dict(_HIDDEN.findall(page.content.decode().partition('id="step-up"')[2]))
    return {name: unescape(value) for name, value in found.items() if name != "csrfmiddlewaretoken"}


@pytest.fixture
def job(acme: Tenant) -> Job:
    return submit_job(tenant=acme, request=JobRequest("noop", {"a": "hidden"})).job


class TestStepUp:
    @pytest.fixture
    def client(self, secret: str) -> Client:
        client = Client()
        log_in(client)
        client.post(AUTHENTICATE, {"code": code_of(secret)})
        return client

    def reveal(self, client: Client, job: Job, **factor: str) -> Any:
        return client.post(f"/admin/scheduling/job/{job.pk}/act/reveal/", {"reason": "x", **factor})

    def letter(self, acme: Tenant) -> DeadLetter:
        (letter,) = store_dead_letters(acme, 1)
        return letter

    def test_reveal_needs_a_fresh_code_and_then_works(self, client: Client, secret: str, job: Job) -> None:
        make_stale(client)
        asked = self.reveal(client, job)
        assert (asked.status_code, "Confirm with your second factor" in asked.content.decode()) == (200, True)
        assert "no-store" in asked.headers["Cache-Control"]
        assert given(asked) == {"reason": "x"}
        assert "job.payload_revealed" not in actions()
        refused = self.reveal(client, job, **{CODE: "000000"})
        assert "Incorrect code." in refused.content.decode()
        assert given(refused) == {"reason": "x"}
        assert "second_factor.refused" in actions()
        assert "hidden" in self.reveal(client, job, **{CODE: code_of(secret, steps=1)}).content.decode()
        assert "job.payload_revealed" in actions()

    def test_code_of_the_page_is_accepted_once(self, client: Client, secret: str, job: Job) -> None:
        for _ in range(2):
            make_stale(client)
            answer = self.reveal(client, job, **{CODE: code_of(secret, steps=1)})
        assert "Incorrect code." in answer.content.decode()

    def test_guessed_codes_of_the_page_are_limited(self, client: Client, secret: str, job: Job) -> None:
        make_stale(client)
        for _ in range(6):
            self.reveal(client, job, **{CODE: "000000"})
        self.reveal(client, job, **{CODE: code_of(secret, steps=1)})
        assert "job.payload_revealed" not in actions()

    @pytest.mark.parametrize(
        "credential", ["[]", "null", "no JSON", '{"id": "x"}', '{"id": "eA", "rawId": "eA", "response": {}}']
    )
    def test_malformed_passkey_of_the_page_is_refused(self, client: Client, job: Job, credential: str) -> None:
        make_stale(client)
        answer = self.reveal(client, job, **{"factor-credential": credential})
        assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (200, True)
        assert "job.payload_revealed" not in actions()

    def test_code_gets_503_while_redis_is_away(self, client: Client, secret: str, job: Job, settings: Settings) -> None:
        make_stale(client)
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/1"}}
        assert self.reveal(client, job, **{CODE: code_of(secret, steps=1)}).status_code == 503
        assert "job.payload_revealed" not in actions()

    def test_edited_payload_survives_the_question_for_a_code(self, client: Client, secret: str, acme: Tenant) -> None:
        letter, form = self.letter(acme), {"payload": '{"a":\n"<1>"}', "reason": "too long"}
        address = reverse("admin:scheduling_deadletter_requeue_edited", args=[letter.pk])
        make_stale(client)
        asked = client.post(address, form)
        assert given(asked) == form
        with all_tenants():
            assert not Job.objects.filter(parent_id=letter.job_id).exists()
        done = client.post(address, {**given(asked), CODE: code_of(secret, steps=1)})
        assert done.status_code == 302
        with all_tenants():
            assert Job.objects.get(parent_id=letter.job_id).payload == {"a": "<1>"}

    def test_replay_with_an_edited_payload_needs_a_fresh_code(self, client: Client, job: Job) -> None:
        make_stale(client)
        asked = client.post(reverse("admin:scheduling_job_replay", args=[job.pk]), {"payload": "{}"})
        assert given(asked) == {"payload": "{}"}

    def test_payload_patch_of_a_bulk_operation_needs_a_fresh_code(self, client: Client) -> None:
        make_stale(client)
        form = {"filter": "kind:noop", "operation": "retry", "payload_patch": '{"a": 1}'}
        address = reverse("admin:scheduling_bulkoperation_start")
        assert given(client.post(address, form)) == form
        assert client.post(address, {**form, "payload_patch": ""}).status_code in (200, 422)

    def test_template_of_a_job_needs_a_fresh_code(self, client: Client, job: Job) -> None:
        make_stale(client)
        asked = client.post(f"/admin/scheduling/job/{job.pk}/act/save_as_template/", {"reason": "x"})
        assert given(asked) == {"reason": "x"}

    def test_files_of_the_act_are_asked_for_again(self, client: Client, job: Job) -> None:
        make_stale(client)
        address = reverse("admin:scheduling_job_replay", args=[job.pk])
        asked = client.post(address, {"payload": "{}", "payload/file": SimpleUploadedFile("a.txt", b"a")})
        page = asked.content.decode()
        assert '<input type="file" name="payload/file"' in page
        assert 'enctype="multipart/form-data"' in page

    def test_form_of_a_plan_survives_the_question_for_a_code(self, staff: User) -> None:
        made = generate_totp_secret()
        TOTP.activate(staff, made)
        client = Client()
        log_in(client, "stella")
        client.post(AUTHENTICATE, {"code": code_of(made)})
        make_stale(client)
        form = {"slug": "new", "name": "New", "rank": "77"}
        address = reverse("admin:tenants_tier_add")
        asked = client.post(address, form)
        assert given(asked) == form
        assert not Tier.objects.filter(pk="new").exists()
        assert client.post(address, {**given(asked), CODE: code_of(made, steps=1)}).status_code == 302
        assert Tier.objects.filter(pk="new").exists()

    def test_settings_of_a_tenant_by_the_platform_need_a_fresh_code(self, staff: User, acme: Tenant) -> None:
        TOTP.activate(staff, made := generate_totp_secret())
        client = Client()
        log_in(client, "stella")
        client.post(AUTHENTICATE, {"code": code_of(made)})
        make_stale(client)
        asked = client.post(reverse("admin:tenants_tenantsettings_of", args=[acme.pk]), {"timezone": "UTC"})
        assert given(asked) == {"timezone": "UTC"}

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
