"""Request rates: requests take tokens from their caller's buckets, and an empty bucket is a 429 with Retry-After."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from jobsplatform import middleware
from scheduling.limits import rate_buckets
from tenants.access.api_keys import issue_api_key
from tenants.access.memberships import add_member
from tenants.limits.service import set_tenant_limit
from tenants.middleware import TenantMiddleware
from tenants.models import Role, Tenant
from tenants.plans.service import update_plan
from tests.platform_settings import ChangePlatformSettings
from tests.request_rates import default_rate, give_real_rates, own_buckets, real_anonymous_rate

pytestmark = pytest.mark.django_db

ME, JOBS, CHECK = "/api/v1/tenants/me/", "/api/v1/jobs/", "/api/v1/workflows/check/"


@pytest.fixture(autouse=True)
def full_buckets() -> Iterator[None]:
    with own_buckets():
        yield


@pytest.fixture
def key(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a key of a tenant with the rates of a deployment without settings."""
    give_real_rates(acme)
    return api_client(acme)


def watched() -> Any:
    return patch.object(rate_buckets, "take_whole", wraps=rate_buckets.take_whole)


def charged(send: Callable[[], Any]) -> list[int]:
    """Return the cost of a request, once for each call of the buckets."""
    with watched() as taken:
        assert send().status_code != 429
    return [call.args[1] for call in taken.call_args_list]


def is_refused(send: Callable[[], Any]) -> bool:
    """Send until a request is refused; buckets fill a little in between."""
    return any(send().status_code == 429 for _ in range(250))


def exhaust(client: APIClient) -> Any:
    """Send requests until one is refused."""
    for _ in range(250):
        response = client.post(CHECK, {})
        if response.status_code == 429:
            return response
    raise AssertionError("none was refused")


def test_default_rates_match_the_documentation() -> None:
    assert [default_rate(name) for name in ("key", "session", "tenant", "anonymous")] == [
        (600, 120),
        (1_200, 240),
        (3_000, 600),
        (60, 60),
    ]


def test_request_costs_what_its_view_declares(key: APIClient) -> None:
    assert charged(lambda: key.get(ME)) == [1]
    assert charged(lambda: key.get(JOBS)) == [2]
    assert charged(lambda: key.post(CHECK, {})) == [20]
    left = re.match(r'"key";r=(\d+);t=\d+, "tenant";r=(\d+);t=\d+', key.get(ME).headers["RateLimit"])
    assert left is not None
    assert int(left[1]) < 120
    assert int(left[2]) <= 600


def test_refusal_is_a_problem_with_retry_after(key: APIClient) -> None:
    response = exhaust(key)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (429, "rate_limited")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(response.headers["Retry-After"]) <= 2
    limit = problem["limit"]
    assert (limit["key"], limit["unit"], limit["allowed"], limit["left"]) == (
        "key_requests_per_minute",
        "units/min",
        600,
        0,
    )
    assert response.headers["RateLimit-Policy"] == '"key";q=600;w=60, "tenant";q=3000;w=60'
    assert re.fullmatch(r'"key";r=\d+;t=\d+, "tenant";r=\d+;t=\d+', response.headers["RateLimit"])


def test_refused_request_reaches_no_view(key: APIClient, acme: Tenant) -> None:
    exhaust(key)
    with patch("tenants.tenancy.api.OwnTenantViewSet.retrieve", side_effect=AssertionError):
        # One token is added each tenth of a second; a list that costs two at the same moment is refused.
        assert {key.post(CHECK, {}).status_code for _ in range(3)} == {429}


def test_keys_of_one_tenant_share_its_bucket(acme: Tenant, globex: Tenant, api_client: Callable) -> None:
    give_real_rates(acme)
    give_real_rates(globex)
    set_tenant_limit(tenant=acme, key="tenant_request_burst", value=60, reason="a test")
    first, second, foreign = api_client(acme), api_client(acme), api_client(globex)
    assert [first.post(CHECK, {}).status_code for _ in range(3)] == [422] * 3
    refused = second.post(CHECK, {})
    assert (refused.status_code, refused.json()["limit"]["key"]) == (429, "tenant_requests_per_minute")
    assert foreign.post(CHECK, {}).status_code == 422


def test_refusal_by_one_bucket_takes_tokens_from_none(acme: Tenant, api_client: Callable) -> None:
    give_real_rates(acme)
    set_tenant_limit(tenant=acme, key="tenant_requests_per_minute", value=1, reason="a test")
    set_tenant_limit(tenant=acme, key="tenant_request_burst", value=20, reason="a test")
    client = api_client(acme)
    assert client.post(CHECK, {}).status_code == 422
    left = [int(client.post(CHECK, {}).headers["RateLimit"][len('"key";r=') :].split(";")[0]) for _ in range(5)]
    # The key's own bucket only fills: five refused requests would have emptied it.
    assert left == sorted(left)
    assert left[0] >= 100


def test_plan_changes_the_rate(acme: Tenant, api_client: Callable) -> None:
    give_real_rates(acme)
    update_plan(plan=acme.plan, changes={}, limits={"key_requests_per_minute": 60_000, "key_request_burst": 10_000})
    client = api_client(acme)
    response = client.get(ME)
    assert response.headers["RateLimit-Policy"].startswith('"key";q=60000;w=60')
    assert {client.post(CHECK, {}).status_code for _ in range(10)} == {422}


def test_rate_of_zero_refuses_every_request(acme: Tenant, api_client: Callable) -> None:
    set_tenant_limit(tenant=acme, key="key_requests_per_minute", value=0, reason="a test")
    response = api_client(acme).get(ME)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3600")


def test_burst_below_a_cost_is_emptied_by_it(acme: Tenant, api_client: Callable) -> None:
    give_real_rates(acme)
    set_tenant_limit(tenant=acme, key="key_request_burst", value=5, reason="a test")
    client = api_client(acme)
    assert client.post(CHECK, {}).status_code == 422
    assert client.post(CHECK, {}).status_code == 429


def test_person_has_one_bucket_for_api_and_console(acme: Tenant, acme_user: User, client: Client) -> None:
    give_real_rates(acme)
    set_tenant_limit(tenant=acme, key="session_request_burst", value=20, reason="a test")
    client.force_login(acme_user)
    other = User.objects.create_user("bob", is_staff=True)
    add_member(tenant=acme, user=other, role=Role.OWNER)
    assert client.post(CHECK, {}, content_type="application/json").status_code == 422
    page = client.post("/admin/scheduling/schedule/preview/", {})
    assert page.status_code == 429
    assert "Too many requests" in page.content.decode()
    assert int(page.headers["Retry-After"]) >= 1
    client.force_login(other)
    assert client.get("/admin/tenants/membership/").status_code == 200


def test_second_log_in_gives_no_second_bucket(acme: Tenant, acme_user: User) -> None:
    give_real_rates(acme)
    set_tenant_limit(tenant=acme, key="session_request_burst", value=20, reason="a test")
    for status in (422, 429):
        session = APIClient()
        session.force_login(acme_user)
        assert session.post(CHECK, {}).status_code == status


def test_platform_users_use_no_tenants_bucket(
    acme: Tenant, staff: User, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(SESSION_REQUEST_RATE=default_rate("session"))
    set_tenant_limit(tenant=acme, key="tenant_requests_per_minute", value=0, reason="a test")
    session = APIClient(headers={"X-Tenant": acme.slug})
    session.force_login(staff)
    response = session.get(ME)
    assert response.status_code == 200
    assert "tenant" not in response.headers["RateLimit-Policy"]


def test_address_without_credentials_has_a_bucket(client: Client) -> None:
    with real_anonymous_rate():
        assert {client.get("/admin/login/").status_code for _ in range(60)} == {200}
        assert is_refused(lambda: client.get("/admin/login/"))
        # Another address behind the proxy is another client.
        assert client.get("/api/v1/schema/", REMOTE_ADDR="198.51.100.7").status_code == 200


def test_forwarded_address_is_ignored_without_a_proxy(client: Client) -> None:
    with real_anonymous_rate():
        numbers = iter(range(1, 255))
        assert is_refused(
            lambda: client.get("/api/v1/jobs/", headers={"X-Forwarded-For": f"198.51.100.{next(numbers)}"})
        )


def test_unknown_address_costs_a_token(client: Client) -> None:
    with real_anonymous_rate():
        assert is_refused(lambda: client.get("/nothing/here/"))


def test_bound_key_from_another_address_uses_the_addresss_bucket(acme: Tenant) -> None:
    scopes = ["jobs.view"]
    issued = issue_api_key(tenant=acme, name="bound", scopes=scopes, allowed_addresses=["198.51.100.0/24"])
    stolen = APIClient()
    stolen.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    response = stolen.get(JOBS)
    assert (response.status_code, response.json()["code"]) == (403, "key_address")
    assert response.headers["RateLimit-Policy"].startswith('"address"')


def test_wrong_keys_use_the_bucket_of_their_address() -> None:
    with real_anonymous_rate():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION="Api-Key jp0123456789.wrong")
        assert is_refused(lambda: client.post(JOBS, {"kind": "noop"}))


@pytest.mark.parametrize("path", sorted(middleware.FREE_PATHS))
def test_health_and_metrics_cost_nothing(client: Client, path: str) -> None:
    with real_anonymous_rate(), patch.object(rate_buckets, "take_whole", side_effect=AssertionError):
        assert client.get(path).status_code in {200, 404}  # a web process has metrics only if enabled


def test_accepted_submissions_use_no_request_bucket(key: APIClient) -> None:
    with patch.object(rate_buckets, "take_whole", side_effect=AssertionError):
        assert {key.post(JOBS, {"kind": "noop"}).status_code for _ in range(5)} == {201}
        assert key.post(f"{JOBS}bulk/", {"jobs": [{"kind": "noop"}]}).status_code == 201


def test_submissions_after_a_refused_one_cost_until_one_is_accepted(key: APIClient) -> None:
    assert charged(lambda: key.post(JOBS, {"kind": "there is none"})) == []
    assert charged(lambda: key.post(JOBS, {"kind": "there is none"})) == [2]
    assert charged(lambda: key.post(JOBS, {"kind": "noop"})) == [2]
    assert charged(lambda: key.post(JOBS, {"kind": "noop"})) == []


def test_refused_submissions_end_in_429(key: APIClient, acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="key_requests_per_minute", value=60, reason="a slow machine fills no bucket")
    assert is_refused(lambda: key.post(JOBS, {"kind": "there is none"}))


def test_all_buckets_of_a_request_are_one_call(key: APIClient) -> None:
    with watched() as taken:
        key.get(ME)
    ((buckets, cost), _options) = taken.call_args_list[0]
    assert (len(taken.call_args_list), len(buckets), cost) == (1, 2, 1)


def test_long_poll_costs_once(key: APIClient) -> None:
    job = key.post(JOBS, {"kind": "noop"}).json()["id"]
    calls = []
    real = TenantMiddleware.__call__

    def count(middleware: TenantMiddleware, request: Any) -> Any:
        calls.append(request)
        return real(middleware, request)

    with patch.object(TenantMiddleware, "__call__", count), watched() as taken:
        response = key.get(f"{JOBS}{job}/wait/?timeout=1")
    assert response.status_code == 200
    assert len(calls) == 2
    assert taken.call_count == 1


def test_buckets_without_redis_are_kept_by_the_process(
    acme: Tenant, api_client: Callable, change_platform_settings: ChangePlatformSettings
) -> None:
    give_real_rates(acme)
    client = api_client(acme)
    change_platform_settings(REDIS_URL="redis://127.0.0.1:9/0")
    rate_buckets._script.cache_clear()
    try:
        assert exhaust(client).json()["code"] == "rate_limited"
    finally:
        rate_buckets._script.cache_clear()
        rate_buckets._outage.__init__()  # type: ignore[misc]
        rate_buckets._local.__init__()  # type: ignore[misc]


def test_live_pages_of_an_operator_stay_within_the_rate() -> None:
    """Sum up the polls of the overview, two pages of a job and its log, and three lists."""
    polls_a_minute = 60 / 5 + 60 / 10 + 1 + 2 * (60 + 60 / 2) + 3 * 60 / 5
    assert polls_a_minute * 2 < default_rate("session")[0]


def test_key_that_names_another_tenant_uses_its_own_bucket(acme: Tenant) -> None:
    client = APIClient(headers={"X-Tenant": "globex"})
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=acme, name='k', scopes=['jobs.view']).token}")
    response = client.get(ME)
    assert response.status_code == 404
    assert response.headers["RateLimit-Policy"].startswith('"key";')
