"""The root of the API, and the self-diagnosis over the API."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tenants.models import Tenant
from tests.integration.api.test_access import API

pytestmark = pytest.mark.django_db


def resources(client: APIClient) -> dict[str, list[str]]:
    answer = client.get(API)
    assert answer.status_code == 200
    return {name: facts["methods"] for name, facts in answer.json()["resources"].items()}


def test_root_lists_what_the_caller_may_use(acme: Tenant, acme_api: APIClient, viewer_api: APIClient) -> None:
    of_key, of_viewer = resources(acme_api), resources(viewer_api)
    assert (of_key["jobs"], of_viewer["jobs"]) == (["GET", "POST"], ["GET"])
    assert "jobs/bulk" in of_key
    assert "queues" not in of_key
    assert "jobs/bulk" not in of_viewer
    assert not [name for name in of_key if "{" in name or "(" in name]


def test_root_shows_staff_the_platform_and_anyone_the_contract(staff_api: APIClient) -> None:
    of_staff = resources(staff_api)
    assert of_staff["queues"] == ["GET", "POST"]
    assert {"diagnosis", "platform-keys", "tiers", "routing-rules"} <= set(of_staff)
    assert set(resources(APIClient())) == {"schema", "docs"}


def test_every_listed_url_answers(acme: Tenant, acme_api: APIClient) -> None:
    for name, facts in acme_api.get(API).json()["resources"].items():
        if "GET" in facts["methods"] and not name.endswith("stream"):
            # These need to know of what.
            needs_query = name in {"baselines", "correlation"}
            assert acme_api.get(facts["url"]).status_code == (422 if needs_query else 200), name


def test_wrong_key_is_refused_at_the_root() -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Api-Key jp0123456789." + "x" * 43)
    assert client.get(API).status_code == 401


def test_diagnosis_has_the_checks_with_their_hints(staff_api: APIClient, viewer_api: APIClient) -> None:
    shown = staff_api.get(f"{API}diagnosis/").json()
    assert shown["state"] in {"ok", "warning", "failure"}
    database = {"code": "database", "name": "database", "state": "ok", "measured": "responds", "hint": ""}
    assert database in shown["checks"]
    assert all(check["hint"] for check in shown["checks"] if check["state"] == "failure")
    assert viewer_api.get(f"{API}diagnosis/").status_code == 403
