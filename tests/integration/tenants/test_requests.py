"""Requests: their context and actor, and that a failed one has no effect."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from tenants.access.api_keys import revoke_api_key
from tenants.access.memberships import add_member
from tenants.api.problems import MEDIA_TYPE
from tenants.context import all_tenants, current_scope, tenant_context
from tenants.models import ApiKey, Role
from tenants.tenancy.service import reinstate_tenant, suspend_tenant
from tests.integration.tenants.sql import APP, PLATFORM, transaction_settings
from tests.keys import issue_api_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.tenants.probe_urls")]

PROBE = "/api/v1/probe/"


def session_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def code_of(response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == MEDIA_TYPE
    return response.status_code, json.loads(response.content)["code"]


def test_key_enters_the_context_of_its_tenant(acme, api_client):
    seen = api_client(acme).get(PROBE, HTTP_X_REQUEST_ID="r-1").json()
    assert seen["role"] == APP
    assert seen["tenant"] == str(acme.pk)
    assert seen["actor"][0] == "api_key"
    assert seen["request_id"] == "r-1"
    assert seen["is_atomic"]


def test_request_leaves_no_scope(acme, api_client):
    api_client(acme).get(PROBE)
    assert current_scope() is None
    assert transaction_settings() == (APP, "")


@pytest.mark.parametrize("given", ["", "x" * 65, "bad id", "é"])
def test_invalid_request_id_is_replaced(given, acme, api_client):
    response = api_client(acme).get(PROBE, HTTP_X_REQUEST_ID=given)
    assert len(response.headers["X-Request-ID"]) == 32
    assert response.headers["X-Request-ID"] == response.json()["request_id"]


def test_session_of_a_member_enters_its_only_tenant(acme, acme_user):
    seen = session_of(acme_user).get(PROBE).json()
    assert seen["tenant"] == str(acme.pk)
    assert seen["actor"] == ["user", "alice"]


def test_member_of_two_tenants_must_name_one(acme, globex, acme_user):
    add_member(tenant=globex, user=acme_user)
    client = session_of(acme_user)
    assert code_of(client.get(PROBE)) == (400, "tenant_required")
    assert client.get(PROBE, HTTP_X_TENANT="globex").json()["tenant"] == str(globex.pk)


@pytest.mark.parametrize("slug", ["globex", "no-such", "", "\x7f", "'"])
def test_foreign_and_unknown_tenants_get_the_same_answer(slug, acme, globex, acme_user, api_client):
    for client in (session_of(acme_user), api_client(acme)):
        assert code_of(client.get(PROBE, HTTP_X_TENANT=slug)) == (404, "tenant_not_found")


def test_key_may_name_its_own_tenant(acme, api_client):
    assert api_client(acme).get(PROBE, HTTP_X_TENANT="acme").status_code == 200


def test_outsider_is_refused_for_lack_of_a_tenant(outsider, acme):
    assert code_of(session_of(outsider).get(PROBE)) == (403, "no_membership")


def test_anonymous_request_is_401(acme):
    response = APIClient().get(PROBE)
    assert code_of(response) == (401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == "Api-Key"


def test_staff_reads_all_tenants_and_must_name_one_to_write(acme, staff):
    client = session_of(staff)
    assert client.get(PROBE).json()["role"] == PLATFORM
    assert code_of(client.post(PROBE, {"how": "well"})) == (400, "tenant_required")
    assert client.post(PROBE, {"how": "well"}, HTTP_X_TENANT="acme").json() == {"wrote": "acme"}
    assert code_of(client.get(PROBE, HTTP_X_TENANT="no-such")) == (404, "tenant_not_found")


def test_platform_view_is_only_for_staff(acme, acme_user, staff, api_client):
    url = "/api/v1/staff-probe/"
    assert session_of(staff).get(url).status_code == 200
    assert code_of(session_of(acme_user).get(url)) == (403, "forbidden")
    assert code_of(api_client(acme).get(url)) == (403, "forbidden")
    assert code_of(APIClient().get(url)) == (401, "not_authenticated")


def test_viewer_reads_and_cannot_write(acme, outsider):
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    client = session_of(outsider)
    assert client.get(PROBE).status_code == 200
    assert code_of(client.post(PROBE, {"how": "well"})) == (403, "forbidden")


def test_suspended_tenant_reads_and_cannot_write(acme, api_client):
    client = api_client(acme)
    suspend_tenant(tenant=acme, reason="unpaid")
    assert client.get(PROBE).status_code == 200
    response = client.post(PROBE, {"how": "well"})
    assert code_of(response) == (403, "tenant_suspended")
    assert "unpaid" in response.json()["detail"]
    reinstate_tenant(tenant=acme)
    assert client.post(PROBE, {"how": "well"}).status_code == 201


def test_session_write_needs_its_csrf_token(acme, acme_user):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(acme_user)
    assert code_of(client.post(PROBE, {"how": "well"})) == (403, "forbidden")


def spoilt_tokens(token: str) -> list[str]:
    prefix, _, secret = token.partition(".")
    return [
        f"{prefix}.{'A' * 43}",
        f"jp0000000000.{secret}",
        prefix,
        secret,
        "",
        f"{token}x",
        token.upper(),
        f"{prefix}..{secret}",
        "é.ü",
        "a" * 10_000,
    ]


def test_every_wrong_key_gets_the_same_answer(acme):
    issued = issue_api_key(tenant=acme, name="x")
    answers = set()
    for token in spoilt_tokens(issued.token):
        response = APIClient().get(PROBE, HTTP_AUTHORIZATION=f"Api-Key {token}")
        answers.add((*code_of(response), response.json()["detail"]))
    assert answers == {(401, "not_authenticated", "The API key is not valid.")}


def test_revoked_key_is_refused_and_expired_key_named_as_expired(acme):
    revoked = issue_api_key(tenant=acme, name="revoked")
    revoke_api_key(api_key=revoked.key)
    expired = issue_api_key(tenant=acme, name="expired")
    with tenant_context(acme):
        ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    valid = issue_api_key(tenant=acme, name="valid", expires_at=timezone.now() + timedelta(hours=1))
    answers = [
        code_of(APIClient().get(PROBE, HTTP_AUTHORIZATION=f"Api-Key {issued.token}")) for issued in (revoked, expired)
    ]
    assert answers == [(401, "not_authenticated"), (401, "key_expired")]
    assert APIClient().get(PROBE, HTTP_AUTHORIZATION=f"Api-Key {valid.token}").status_code == 200


@pytest.mark.parametrize("scheme", ["api-key", "API-KEY", "Api-Key"])
def test_scheme_is_case_insensitive(scheme, acme):
    issued = issue_api_key(tenant=acme, name="x")
    assert APIClient().get(PROBE, HTTP_AUTHORIZATION=f"{scheme} {issued.token}").status_code == 200


def test_time_of_use_is_written_once_a_minute(acme, api_client):
    client = api_client(acme)
    client.get(PROBE)
    with tenant_context(acme):
        key = ApiKey.objects.get()
        assert key.last_used_at is not None
        earlier = key.last_used_at - timedelta(seconds=30)
        ApiKey.objects.update(last_used_at=earlier)
    client.get(PROBE)
    with tenant_context(acme):
        assert ApiKey.objects.get().last_used_at == earlier
        ApiKey.objects.update(last_used_at=earlier - timedelta(seconds=60))
    client.get(PROBE)
    with tenant_context(acme):
        assert ApiKey.objects.get().last_used_at > earlier


@pytest.mark.django_db(transaction=True)
class TestAtomicRequests:
    """Atomic requests: a view that writes and then fails has no effect, however its failure is answered."""

    @pytest.mark.parametrize(
        ("how", "answer"),
        [
            ("invalid", (422, "invalid")),
            ("domain", (409, "slug_taken")),
            ("missing", (404, "not_found")),
            ("denied", (403, "forbidden")),
            ("outage", (503, "unavailable")),
            ("sql", (422, "field_invalid")),
            ("fault", (500, "internal_error")),
        ],
    )
    def test_refusal_after_a_write_rolls_it_back(self, how, answer, acme, api_client):
        client = api_client(acme)
        client.raise_request_exception = False
        assert code_of(client.post(PROBE, {"how": how})) == answer
        self.assert_only_the_callers_key(acme)

    @pytest.mark.parametrize(("how", "answer"), [("missing", 404), ("denied", 403), ("fault", 500)])
    def test_plain_view_is_rolled_back(self, how, answer, acme, acme_user):
        client = Client(raise_request_exception=False)
        client.force_login(acme_user)
        assert code_of(client.get(f"/api/v1/plain/{how}/"))[0] == answer
        with tenant_context(acme):
            assert not ApiKey.objects.exists()

    def test_successful_write_is_committed(self, acme, api_client):
        assert api_client(acme).post(PROBE, {"how": "well"}).status_code == 201
        with all_tenants():
            assert ApiKey.objects.filter(name="probe", tenant=acme).count() == 1

    def test_stream_is_produced_outside_the_tenant(self, acme, api_client):
        client = api_client(acme)
        client.handler.enforce_csrf_checks = False
        body = b"".join(client.get("/api/v1/stream/").streaming_content)
        assert body == repr((APP, "")).encode()

    def assert_only_the_callers_key(self, tenant) -> None:
        with all_tenants():
            assert [key.name for key in ApiKey.objects.all()] == ["tests"]
        assert transaction_settings() == (APP, "")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"[" * 33 + b"]" * 33, (400, "json_invalid")),
        (rb'{"how": "\u0000"}', (400, "json_invalid")),
        (rb'{"how": "\ud800"}', (400, "json_invalid")),
        (b'{"how": 1, "how": 2}', (400, "json_invalid")),
        (b'{"how": 99999999999999999999}', (400, "json_invalid")),
        (b"{", (400, "json_invalid")),
        (b'{"how": "' + b"x" * 1_000 + b'"}', (413, "body_too_large")),
    ],
)
def test_invalid_body_is_a_problem(body, answer, acme, api_client):
    response = api_client(acme).post(PROBE, body, content_type="application/json")
    assert code_of(response) == answer


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [
        ("application/json; charset=utf-16", (400, "json_invalid")),
        ("text/plain", (415, "unsupported_media_type")),
        ("application/x-www-form-urlencoded", (415, "unsupported_media_type")),
    ],
)
def test_body_of_another_content_type_is_a_problem(content_type, answer, acme, api_client):
    response = api_client(acme).post(PROBE, b'{"how": "well"}', content_type=content_type)
    assert code_of(response) == answer


def test_unknown_url_wrong_method_and_nul_are_problems(acme, api_client):
    client = api_client(acme)
    assert code_of(client.get("/api/v1/nothing/")) == (404, "not_found")
    assert code_of(client.delete(PROBE)) == (405, "method_not_allowed")
    assert code_of(client.get(PROBE + "?q=%00")) == (400, "url_invalid")
    assert code_of(client.get("/api/v1/%00/")) == (400, "url_invalid")
    assert code_of(client.get(PROBE, HTTP_ACCEPT="text/html")) == (406, "not_acceptable")


def test_database_outage_is_503_with_retry_after(acme, api_client, monkeypatch):
    from django.db import OperationalError

    client = api_client(acme)

    def refuse(**kwargs: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("tenants.middleware.authenticate_api_key", refuse)
    response = client.get(PROBE)
    assert code_of(response) == (503, "unavailable")
    assert response.headers["Retry-After"] == "5"


def test_health_path_costs_no_query(acme_user, django_assert_num_queries):
    client = session_of(acme_user)
    with django_assert_num_queries(0):
        assert client.get("/health/live").status_code == 200
