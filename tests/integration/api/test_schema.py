"""The OpenAPI document: complete, free of warnings, and correct."""

from __future__ import annotations

import io
import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from pytest_django import Settings
from rest_framework.test import APIClient

from jobsplatform.schema_document import SchemaView
from jobsplatform.settings.env import BASE_DIR

OFFERED = {
    "/api/v1/jobs/": {"get", "post"},
    "/api/v1/jobs/bulk/": {"post"},
    "/api/v1/jobs/{id}/": {"get"},
    "/api/v1/jobs/{id}/cancel/": {"post"},
    "/api/v1/jobs/{id}/retry/": {"post"},
    "/api/v1/jobs/{id}/events/": {"get"},
    "/api/v1/jobs/{id}/executions/": {"get"},
    "/api/v1/executions/{id}/": {"get"},
    "/api/v1/batches/": {"get"},
    "/api/v1/batches/{id}/": {"get"},
    "/api/v1/dead-letters/": {"get"},
    "/api/v1/dead-letters/{id}/": {"get"},
    "/api/v1/dead-letters/{id}/requeue/": {"post"},
    "/api/v1/dead-letters/groups/": {"get"},
    "/api/v1/queues/": {"get", "post"},
    "/api/v1/queues/{name}/": {"get"},
    "/api/v1/queues/{name}/pause/": {"post"},
    "/api/v1/queues/{name}/resume/": {"post"},
    "/api/v1/upkeep/": {"get"},
    "/api/v1/upkeep/{name}/": {"get"},
    "/api/v1/upkeep/{name}/run/": {"post"},
    "/api/v1/upkeep-runs/": {"get", "post"},
    "/api/v1/upkeep-runs/{id}/": {"get"},
    "/api/v1/schedules/": {"get", "post"},
    "/api/v1/schedules/{id}/": {"get", "patch", "delete"},
    "/api/v1/schedules/{id}/pause/": {"post"},
    "/api/v1/schedules/{id}/resume/": {"post"},
    "/api/v1/schedules/{id}/run-now/": {"post"},
    "/api/v1/schedules/{id}/backfill/": {"post"},
    "/api/v1/schedules/{id}/fires/": {"get"},
    "/api/v1/schedules/preview/": {"post"},
    "/api/v1/queues/{name}/drain/": {"post"},
    "/api/v1/kinds/": {"get"},
    "/api/v1/kinds/{name}/pause/": {"post"},
    "/api/v1/pools/": {"get", "post"},
    "/api/v1/pools/{name}/drain/": {"post"},
    "/api/v1/workers/": {"get"},
    "/api/v1/workers/{id}/drain/": {"post"},
    "/api/v1/audit-log/": {"get"},
    "/api/v1/": {"get"},
    "/api/v1/platform-keys/": {"get", "post"},
    "/api/v1/routing-rules/{position}/": {"get", "patch"},
    "/api/v1/diagnosis/": {"get"},
    "/api/v1/tenants/me/": {"get"},
    "/api/v1/tenants/me/drain/": {"post"},
    "/api/v1/tenants/{slug}/suspend/": {"post"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    written = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=written)
    loaded: dict[str, Any] = json.loads(written.getvalue())
    return loaded


# A signature takes the place of an account.
RECEIVING = "/api/v1/triggers/{trigger_id}/"


def test_document_validates_without_a_warning(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")


@pytest.mark.parametrize("path", OFFERED)
def test_document_describes_each_address_of_the_contract(document: dict[str, Any], path: str) -> None:
    assert OFFERED[path] <= set(document["paths"][path])


def test_every_operation_documents_its_problems_and_security(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            problem = operation["responses"]["default"]["content"]
            assert list(problem) == ["application/problem+json"], (method, path)
            if path != RECEIVING:
                assert {} not in operation["security"], (method, path)


def test_document_is_public(db: None) -> None:
    assert APIClient().get("/api/v1/schema/").status_code == 200


def test_docs_page_has_no_inline_script(db: None) -> None:
    page = APIClient().get("/api/v1/docs/").content.decode()
    assert "<script" in page
    assert not re.findall(r"<script(?![^>]*src=)[^>]*>", page)


def test_api_reference_names_every_address(document: dict[str, Any]) -> None:
    page = (BASE_DIR / "docs" / "reference" / "api.md").read_text()
    words = {word for path in document["paths"] for word in path.removeprefix("/api/v1/").split("/") if word}
    assert [word for word in sorted(words) if not word.startswith("{") and f"{word}/" not in page] == []


@pytest.mark.django_db
def test_document_is_built_once_per_language_and_format(settings: Settings) -> None:
    # In languages in which no other test has built it.
    settings.LANGUAGES, settings.LANGUAGE_CODE = [("fr", "French"), ("de", "German")], "fr"
    client, json_type = APIClient(), "application/vnd.oai.openapi+json"
    with patch.object(SchemaView.generator_class, "get_schema", return_value={"openapi": "3.0.3"}) as built:
        for _ in range(3):
            first = client.get("/api/v1/schema/", headers={"Accept": json_type})
        assert json.loads(first.content) == {"openapi": "3.0.3"}
        assert first.headers["Content-Type"].startswith(json_type)
        assert built.call_count == 1
        client.get("/api/v1/schema/", {"lang": "de"}, headers={"Accept": json_type})
        assert client.get("/api/v1/schema/").content.startswith(b"openapi:")
        assert built.call_count == 3
        # Query parameters of a client do not create another document.
        client.get("/api/v1/schema/", {"lang": "xx", "version": "mine"}, headers={"Accept": json_type})
        assert built.call_count == 3
        assert all(call.kwargs["public"] for call in built.call_args_list)


@pytest.mark.django_db
def test_document_does_not_repeat_client_input() -> None:
    assert b"mine-and-evil" not in APIClient().get("/api/v1/schema/", {"version": "mine-and-evil"}).content
