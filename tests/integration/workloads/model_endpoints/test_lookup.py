"""Look-up of models, their limits, and the counts of their tokens."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.kit.base import PermanentError
from scheduling.upkeep.registry import UpkeepBudget
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.exceptions import SettingForbiddenError
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.integration.api.test_access import API
from tests.model_server import ModelServer
from tests.platform_settings import ChangePlatformSettings
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.limits import admit, settle
from workloads.model_endpoints.lookup import get_model
from workloads.model_endpoints.models import UsageDay
from workloads.model_endpoints.service import create_endpoint
from workloads.model_endpoints.tenant_settings import PLATFORM_TOKENS
from workloads.model_endpoints.upkeep import prune_model_usage
from workloads.model_endpoints.usage import AnsweredRequest, record_usage

pytestmark = pytest.mark.usefixtures("transactional_db")
URL = "https://api.example.com/v1"


def chat(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "use": "chat", **values}


@pytest.fixture
def endpoints(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    """Store endpoints of acme: `one` with the default model, `two`, and `off`, which is disabled."""
    change_platform_settings(LLM_API_URL="http://llm.internal/v1", LLM_MODEL="shared")
    vectors = {"name": "vectors", "use": "embedding", "dimensions": 8}
    create_endpoint(tenant=acme, name="one", url=f"{URL}/", models=[chat("a"), chat("b", is_default=True), vectors])
    create_endpoint(tenant=acme, name="two", url=URL, models=[chat("a"), chat("c")])
    create_endpoint(tenant=acme, name="off", url=URL, models=[chat("d")], is_enabled=False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "one/b"),
        ({"model": "c"}, "two/c"),
        ({"model": "a"}, "one/a"),
        ({"model": "d"}, "platform/d"),
        ({"endpoint": "two"}, "two/a"),
        ({"endpoint": "one"}, "one/b"),
        ({"endpoint": "two", "model": "c"}, "two/c"),
        ({"endpoint": "two", "model": "b", "is_strict": False}, "two/a"),
        ({"endpoint": "platform"}, "platform/shared"),
        ({"endpoint": "platform", "model": "x"}, "platform/x"),
        ({"endpoint": "platform", "model": "x", "is_strict": False}, "platform/shared"),
        ({"endpoint": "one", "use": "embedding"}, "one/vectors"),
        ({"model": "vectors", "use": "embedding"}, "one/vectors"),
    ],
)
def test_model_is_found_by_endpoint_name_and_use(acme: Tenant, endpoints: None, asked: Any, found: str) -> None:
    model = get_model(acme.pk, **asked)
    assert f"{model.endpoint}/{model.model}" == found


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"endpoint": "two", "model": "b"}, "unknown_model"),
        ({"endpoint": "two", "use": "embedding"}, "unknown_model"),
        ({"endpoint": "platform", "use": "embedding"}, "unknown_endpoint"),
        ({"model": "none", "use": "embedding"}, "unknown_model"),
        ({"endpoint": "none"}, "unknown_endpoint"),
        ({"endpoint": "off"}, "model_endpoint_disabled"),
    ],
)
def test_model_that_cannot_be_used_is_an_error(acme: Tenant, endpoints: None, asked: Any, code: str) -> None:
    with pytest.raises(PermanentError) as caught:
        get_model(acme.pk, **asked)
    assert caught.value.code == code


def test_model_of_another_tenant_is_not_found(globex: Tenant, endpoints: None) -> None:
    with pytest.raises(PermanentError) as caught:
        get_model(globex.pk, endpoint="one")
    assert caught.value.code == "unknown_endpoint"
    assert get_model(globex.pk).is_shared


def test_configuration_has_what_a_request_needs(acme: Tenant, endpoints: None) -> None:
    model = get_model(acme.pk, endpoint="one", model="vectors", use="embedding")
    assert (model.url, model.dimensions, model.dependency.name) == (URL, 8, "one/vectors")
    assert model.limits is not None
    assert (model.limits.connect_seconds, model.limits.read_seconds, model.limits.total_seconds) == (5, 60, 120)


def limited(acme: Tenant, *, model: dict[str, Any] | None = None, **limits: int) -> ModelConfiguration:
    create_endpoint(tenant=acme, name="own", url=URL, models=[chat("m", **(model or {}))], **limits)
    return get_model(acme.pk, endpoint="own")


@pytest.mark.parametrize("scope", ["endpoint", "model"])
def test_requests_beyond_the_limit_of_a_minute_wait(acme: Tenant, scope: str) -> None:
    limits = {"requests_per_minute": 2}
    own = limited(acme, **limits) if scope == "endpoint" else limited(acme, model=limits)
    assert [admit(acme.pk, own, 1) for _ in range(2)] == [0.0, 0.0]
    assert 0 < admit(acme.pk, own, 1) <= 30


def test_tokens_beyond_the_limit_wait_and_return_the_request(acme: Tenant) -> None:
    own = limited(acme, model={"tokens_per_minute": 100, "requests_per_minute": 2})
    assert admit(acme.pk, own, 90) == 0.0
    assert [0 < admit(acme.pk, own, 90) <= 48 for _ in range(3)] == [True] * 3
    settle(own, admitted=90, tokens=10)
    assert admit(acme.pk, own, 80) == 0.0


def test_request_larger_than_a_minute_waits_for_a_full_bucket_only(acme: Tenant) -> None:
    own = limited(acme, model={"tokens_per_minute": 100})
    assert admit(acme.pk, own, 10_000) == 0.0
    assert 0 < admit(acme.pk, own, 10_000) <= 60


def test_tokens_of_the_month_are_checked_with_the_estimate(acme: Tenant) -> None:
    own = limited(acme, model={"tokens_per_month": 100})
    assert admit(acme.pk, own, 100) == 0.0
    with tenant_context(acme):
        record_usage(acme.pk, [AnsweredRequest(own, 40, 20)])
    assert admit(acme.pk, own, 40) == 0.0
    with pytest.raises(PermanentError) as caught:
        admit(acme.pk, own, 41)
    assert caught.value.code == "model_limit_reached"
    assert "has 40 tokens of this month's limit left" in str(caught.value)
    with all_tenants():
        UsageDay.objects.update(day=read_clock().date() - timedelta(days=32))
    assert admit(acme.pk, own, 100) == 0.0


def test_tokens_of_the_month_at_the_endpoint_of_the_platform_are_limited(
    acme: Tenant, globex: Tenant, endpoints: None
) -> None:
    used = get_model(acme.pk, endpoint="platform", model="other")
    with tenant_context(acme):
        record_usage(acme.pk, [AnsweredRequest(used, 40, 20)])
    shared = get_model(acme.pk, endpoint="platform")
    assert admit(acme.pk, shared, 10_000) == 0.0
    change_settings(tenant=acme, values={PLATFORM_TOKENS.key: 100}, by_platform=True)
    assert admit(acme.pk, shared, 40) == 0.0
    with pytest.raises(PermanentError) as caught:
        admit(acme.pk, shared, 41)
    assert caught.value.code == "model_limit_reached"
    assert admit(globex.pk, shared, 10_000) == 0.0
    with pytest.raises(SettingForbiddenError):
        change_settings(tenant=acme, values={PLATFORM_TOKENS.key: 0})


def test_usage_of_a_day_is_one_row_for_each_model(acme: Tenant, acme_api: APIClient, globex_api: APIClient) -> None:
    priced = limited(acme, model={"input_price": Decimal(2), "output_price": Decimal(8)})
    free = ModelConfiguration("http://llm.internal", "shared", is_shared=True)
    for _ in range(2):
        with tenant_context(acme):
            record_usage(
                acme.pk,
                [AnsweredRequest(priced, 1_000, 100), AnsweredRequest(free, 5, 5), AnsweredRequest(priced, 0, 100)],
            )
    rows = acme_api.get(API + "model-usage/").json()["results"]
    assert {(row["endpoint"], row["model"], row["requests"]) for row in rows} == {
        ("own", "m", 4),
        ("platform", "shared", 2),
    }
    costs = {row["model"]: row["cost"] for row in rows}
    assert costs == {"m": 0.0072, "shared": None}
    assert {row["currency"] for row in rows} == {"USD"}
    assert globex_api.get(API + "model-usage/").json()["results"] == []


def test_usage_is_filtered_by_days_and_model(acme: Tenant, acme_api: APIClient) -> None:
    own = limited(acme)
    with tenant_context(acme):
        record_usage(acme.pk, [AnsweredRequest(own, 1, 1)])
    today = read_clock().date()
    tomorrow = today + timedelta(days=1)
    found = {
        f"{query}": len(acme_api.get(API + "model-usage/", query).json()["results"])
        for query in ({"since": tomorrow}, {"until": tomorrow}, {"model": "m"}, {"model": "other"})
    }
    assert list(found.values()) == [0, 1, 1, 0]
    assert acme_api.get(API + "model-usage/", {"since": "yesterday"}).status_code == 422
    assert acme_api.get(API + "model-usage/", {"day": "x"}).status_code == 422


def test_old_usage_is_deleted(acme: Tenant) -> None:
    own = limited(acme)
    with tenant_context(acme):
        record_usage(acme.pk, [AnsweredRequest(own, 1, 1)])
        UsageDay.objects.update(day=read_clock().date() - timedelta(days=800))
        record_usage(acme.pk, [AnsweredRequest(own, 1, 1)])
    assert prune_model_usage(UpkeepBudget(batch_rows=10, seconds=1.0)).counts == {"usage_days": 1}
    with all_tenants():
        assert UsageDay.objects.count() == 1


def test_server_of_the_tests_is_a_public_endpoint_here(acme: Tenant, server: ModelServer) -> None:
    create_endpoint(tenant=acme, name="own", url=server.url, models=[chat("m")])
    with pytest.raises(PermanentError) as caught:
        get_model(acme.pk)
    assert caught.value.code == "no_model"
