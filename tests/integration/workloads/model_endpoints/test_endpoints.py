"""Model endpoints by API and console: what is stored, refused, shown and audited."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenants.context import Actor, acting_as, all_tenants
from tenants.models import AuditLogEntry, Tenant
from tenants.secrets.errors import SecretUseDeniedError
from tests.integration.api.test_access import API, assert_problem
from tests.model_server import ModelServer
from tests.platform_settings import ChangePlatformSettings
from workloads.model_endpoints.models import EndpointModel, ModelEndpoint, UsageDay
from workloads.model_endpoints.service import create_endpoint

pytestmark = pytest.mark.usefixtures("transactional_db")
PATH = API + "model-endpoints/"
CHAT = {"name": "large", "use": "chat", "is_default": True, "input_price": "2.5", "tokens_per_month": 1_000}
VECTORS = {"name": "vectors", "use": "embedding", "dimensions": 1_024}
BODY: dict[str, Any] = {"name": "acme_ai", "url": "https://api.example.com/v1", "models": [CHAT, VECTORS]}


def make(api: APIClient, **values: Any) -> dict[str, Any]:
    answer = api.post(PATH, BODY | values, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def named(api: APIClient) -> list[str]:
    return [one["name"] for one in api.get(PATH).json()["results"]]


def test_endpoint_is_stored_with_its_models(acme_api: APIClient, globex_api: APIClient) -> None:
    made = make(acme_api, requests_per_minute=5)
    shown = acme_api.get(f"{PATH}{made['id']}/").json()
    assert shown == made
    assert [(one["name"], one["dimensions"], one["input_price"]) for one in shown["models"]] == [
        ("large", None, 2.5),
        ("vectors", 1_024, None),
    ]
    assert (shown["requests_per_minute"], shown["total_seconds"], shown["open_breakers"]) == (5, 120.0, [])
    assert_problem(globex_api.get(f"{PATH}{made['id']}/"), 404, "not_found")
    assert named(globex_api) == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"url": "http://127.0.0.1:11434/v1"}, "url"),
        ({"url": "http://10.0.3.7:8000/v1"}, "url"),
        ({"url": "http://localhost/v1"}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"name": "platform"}, "name"),
        ({"name": "Acme"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"key": "sk-plain-key"}, "key"),
        ({"total_seconds": 0}, "total_seconds"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": 2**40}, "tokens_per_minute"),
        ({"provider": "other"}, "provider"),
        ({"models": [CHAT, CHAT]}, "models.1.name"),
        ({"models": [CHAT, {**CHAT, "name": "other"}]}, "models"),
        ({"models": [{**VECTORS, "dimensions": None}]}, "models.0.dimensions"),
        ({"models": [{**CHAT, "dimensions": 3}]}, "models.0.dimensions"),
        ({"models": [{**VECTORS, "is_default": True}]}, "models.0.is_default"),
    ],
)
def test_endpoint_that_cannot_be_used_is_refused(acme_api: APIClient, values: Any, field: str) -> None:
    answer = acme_api.post(PATH, BODY | values, format="json")
    assert answer.status_code == 422, answer.content
    assert field in [fault["field"] for fault in answer.json()["errors"]]
    assert named(acme_api) == []


@pytest.mark.parametrize(
    "models",
    [
        [{**VECTORS, "dimensions": 4_001}],
        [{"use": "chat"}],
        [{**CHAT, "input_price": "-1"}],
        [{**CHAT, "input_price": "NaN"}],
        [{**CHAT, "tokens_per_month": 2**60}],
        [{**CHAT, "use": "drawing"}],
        [CHAT] * 101,
        {"large": CHAT},
    ],
)
def test_malformed_models_are_refused_when_created_and_changed(acme_api: APIClient, models: Any) -> None:
    made = make(acme_api, name="other")
    for answer in (
        acme_api.post(PATH, BODY | {"models": models}, format="json"),
        acme_api.patch(f"{PATH}{made['id']}/", {"models": models}, format="json"),
    ):
        assert answer.status_code == 422, answer.content
    assert acme_api.get(f"{PATH}{made['id']}/").json()["models"] == made["models"]


def test_taken_name_is_refused_and_a_name_never_changes(acme_api: APIClient, globex_api: APIClient) -> None:
    made = make(acme_api)
    assert_problem(acme_api.post(PATH, BODY, format="json"), 409, "model_endpoint_name_taken")
    assert acme_api.patch(f"{PATH}{made['id']}/", {"name": "other"}, format="json").status_code == 422
    make(globex_api)


def test_key_needs_the_right_to_use_secrets(acme: Tenant) -> None:
    values: dict[str, Any] = {"name": "own", "url": "https://api.example.com/v1", "key": "{{ secrets.api }}"}
    with acting_as(Actor(kind="user", id="1", may_use_secrets=False)), pytest.raises(SecretUseDeniedError):
        create_endpoint(tenant=acme, **values)
    assert create_endpoint(tenant=acme, **values).key == values["key"]


def test_change_replaces_the_models_and_is_audited(acme_api: APIClient) -> None:
    made = make(acme_api)
    path = f"{PATH}{made['id']}/"
    tag = acme_api.get(path)["ETag"]
    with all_tenants():
        kept = EndpointModel.objects.get(name="large").pk
    changed = acme_api.patch(path, {"models": [CHAT | {"input_price": "3"}], "is_enabled": False}, format="json")
    assert (changed.status_code, [one["name"] for one in changed.json()["models"]]) == (200, ["large"])
    assert changed["ETag"] != tag
    assert acme_api.patch(path, {"is_enabled": True}, format="json", HTTP_IF_MATCH=tag).status_code == 412
    with all_tenants():
        assert EndpointModel.objects.get(name="large").pk == kept
        entry = AuditLogEntry.objects.filter(action="model_endpoint.changed").get()
    assert (sorted(entry.after or {}), (entry.before or {})["is_enabled"]) == (["is_enabled", "models"], True)
    assert acme_api.patch(path, {"is_enabled": False}, format="json").status_code == 200
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="model_endpoint.changed").count() == 1


def test_new_default_model_ends_the_one_of_another_endpoint(acme_api: APIClient) -> None:
    first = make(acme_api)
    make(acme_api, name="other")
    models = acme_api.get(f"{PATH}{first['id']}/").json()["models"]
    assert [one["is_default"] for one in models] == [False, False]


def test_address_from_before_a_stricter_rule_blocks_no_other_change(
    acme: Tenant, acme_api: APIClient, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=["127.0.0.1:11434"])
    url = "http://127.0.0.1:11434/v1"
    made = make(acme_api, url=url)
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[])
    path = f"{PATH}{made['id']}/"
    assert acme_api.patch(path, {"url": url, "is_enabled": False}, format="json").status_code == 200
    assert acme_api.patch(path, {"url": "http://127.0.0.1:8000/v1"}, format="json").status_code == 422


def test_models_that_the_list_lacks_are_deleted(acme_api: APIClient) -> None:
    path = f"{PATH}{make(acme_api)['id']}/"
    assert acme_api.patch(path, {"models": [VECTORS]}, format="json").status_code == 200
    with all_tenants():
        assert [model.name for model in EndpointModel.objects.all()] == [VECTORS["name"]]
    assert acme_api.delete(path).status_code == 204
    with all_tenants():
        assert (ModelEndpoint.objects.count(), EndpointModel.objects.count()) == (0, 0)


@pytest.mark.parametrize(("model", "shown"), [("", "You said"), ("vectors", "[")])
def test_test_shows_the_answer_and_counts_its_tokens(
    acme_api: APIClient, server: ModelServer, model: str, shown: str
) -> None:
    vectors = VECTORS | {"dimensions": 512}
    made = make(acme_api, url=server.url, models=[CHAT, vectors])
    answer = acme_api.post(f"{PATH}{made['id']}/test/", {"model": model} if model else {}, format="json")
    assert answer.status_code == 200, answer.content
    assert shown in answer.json()["text"]
    assert answer.json()["prompt_tokens"] > 0
    with all_tenants():
        usage = UsageDay.objects.get()
        assert AuditLogEntry.objects.filter(action="model_endpoint.tested").exists()
    assert (usage.model, usage.requests, usage.prompt_tokens) == (
        model or "large",
        1,
        answer.json()["prompt_tokens"],
    )


def test_failed_test_shows_the_masked_message_of_the_provider(acme_api: APIClient, server: ModelServer) -> None:
    made = make(acme_api, url=server.url)
    server.answer_next({"error": {"message": "Bad key sk-abcdefgh", "code": "invalid_api_key"}}, status=401)
    answer = acme_api.post(f"{PATH}{made['id']}/test/", {}, format="json")
    assert_problem(answer, 409, "model_test_failed")
    assert "Bad key" in answer.json()["detail"]
    assert "sk-abcdefgh" not in answer.content.decode()
    missing = acme_api.post(f"{PATH}{made['id']}/test/", {"model": "none"}, format="json")
    assert_problem(missing, 409, "model_test_failed")


def test_console_stores_an_endpoint_with_its_models(acme_user: User, server: ModelServer) -> None:
    client = Client()
    client.force_login(acme_user)
    add = reverse("admin:model_endpoints_modelendpoint_add")
    body = _form(url=server.url) | _model(0, name="large", use="chat", is_default="on")
    refused = client.post(add, body | {"models-0-dimensions": "3"})
    assert refused.status_code == 200
    assert "1 to 4000 dimensions" in refused.content.decode()
    assert client.post(add, body).status_code == 302
    with all_tenants():
        (row,) = ModelEndpoint.objects.all()
        (model,) = EndpointModel.objects.all()
    assert (row.url, model.name, model.is_default) == (server.url, "large", True)
    change = reverse("admin:model_endpoints_modelendpoint_change", args=[row.pk])
    page = client.get(change)
    seen = page.context["adminform"].form["seen"].value()
    changed = body | {"models-0-id": str(model.pk), "models-INITIAL_FORMS": "1", "seen": seen, "read_seconds": "45"}
    assert client.post(change, changed).status_code == 302
    with all_tenants():
        assert ModelEndpoint.objects.get().read_seconds == 45
    listed = client.get(reverse("admin:model_endpoints_modelendpoint_changelist"))
    assert "large" in listed.content.decode()
    usage = client.get(reverse("admin:model_endpoints_usageday_changelist"))
    assert usage.status_code == 200


def _form(**values: str) -> dict[str, str]:
    numbers = {"connect_seconds": "5", "read_seconds": "60", "total_seconds": "120"}
    management = {"models-TOTAL_FORMS": "1", "models-INITIAL_FORMS": "0"}
    return {"name": "acme_ai", "provider": "openai", "is_enabled": "on", **numbers, **management, **values}


def _model(number: int, **values: str) -> dict[str, str]:
    return {f"models-{number}-{name}": value for name, value in values.items()}
