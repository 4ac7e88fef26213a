"""Circuit breakers over the API: a tenant's own, and what it sees of shared ones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import Circuit
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.api.test_access import API, assert_problem

HOST = "api.example.com"
CIRCUITS, SHARED = API + "circuits/", API + "shared-circuits/"


def put_circuit(tenant: Tenant | None, dependency: str = HOST, state: str = "open") -> None:
    with all_tenants():
        Circuit.objects.create(
            tenant=tenant,
            kind="noop",
            dependency=dependency,
            holds_all=not dependency,
            state=state,
            failures=12,
            tenants={} if tenant else {"1": 6, "2": 6},
            fingerprint="f" * 16,
            error_type="Timeout",
            error_message="the secret of globex",
            counted_from=Now(),
            opened_at=Now(),
            until=Now() + timedelta(hours=1),
        )


def test_tenant_sees_its_own_breakers_and_masked_shared_ones(acme_api: APIClient, acme: Tenant, globex: Tenant) -> None:
    put_circuit(acme)
    put_circuit(globex, "globex.example.com")
    put_circuit(None, "embeddings")
    put_circuit(None, "counted only", "counting")
    answer = acme_api.get(CIRCUITS)
    own, shared = sorted(answer.json()["results"], key=lambda circuit: circuit["tenant"] or "z")
    assert (own["tenant"], own["dependency"], own["failures"]) == ("acme", HOST, 12)
    assert (shared["tenant"], shared["dependency"], shared["state"]) == (None, "embeddings", "open")
    assert shared["until"] is not None
    assert (shared["failures"], shared["fingerprint"], shared["error_type"], shared["error_message"]) == (
        None,
        "",
        "",
        "",
    )


def test_breaker_is_held_changed_and_reset(acme_api: APIClient, acme: Tenant) -> None:
    until = (timezone.now() + timedelta(hours=1)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    body = {"state": "open", "dependency": HOST, "reason": "they move", "until": until}
    held = acme_api.post(CIRCUITS + "noop/force/", body).json()
    assert (held["state"], held["dependency"], held["until"], held["reason"]) == (
        "forced_open",
        HOST,
        until,
        "they move",
    )
    changed = acme_api.post(CIRCUITS + "noop/force/", {**body, "state": "closed", "until": None}).json()
    assert (changed["state"], changed["until"]) == ("forced_closed", None)
    let_go = acme_api.post(CIRCUITS + "noop/reset/", {"dependency": HOST, "reason": "done"}).json()
    assert (let_go["state"], let_go["reason"]) == ("closing", "")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("noop/force/", {"state": "open"}, 422, "invalid"),
        ("noop/force/", {"state": "ajar", "reason": "x"}, 422, "invalid"),
        ("noop/force/", {"state": "open", "reason": "x", "until": "2020-01-01T00:00:00Z"}, 422, "field_invalid"),
        ("noop/force/", {"state": "open", "reason": "x", "dependency": "x" * 201}, 422, "invalid"),
        ("unheard-of/force/", {"state": "open", "reason": "x"}, 422, "kind_unknown"),
        ("noop/reset/", {"dependency": "never.failed"}, 404, "not_found"),
    ],
)
def test_invalid_breaker_request_is_refused_with_its_code(
    acme_api: APIClient, path: str, body: dict[str, object], status: int, code: str
) -> None:
    assert_problem(acme_api.post(CIRCUITS + path, body), status, code)


def test_breaker_of_another_tenant_cannot_be_reset(acme_api: APIClient, globex_api: APIClient, globex: Tenant) -> None:
    put_circuit(globex)
    put_circuit(None)
    assert acme_api.post(CIRCUITS + "noop/reset/", {"dependency": HOST}).status_code == 404
    assert globex_api.post(CIRCUITS + "noop/reset/", {"dependency": HOST}).status_code == 200


def test_shared_breakers_are_managed_by_the_platform(staff_api: APIClient, acme_api: APIClient) -> None:
    put_circuit(None)
    assert acme_api.get(SHARED).status_code == 403
    (circuit,) = staff_api.get(SHARED).json()["results"]
    assert (circuit["tenant"], circuit["failures"], circuit["tenants"]) == (None, 12, 2)
    assert circuit["error_message"] == "the secret of globex"
    body = {"state": "open", "dependency": HOST, "reason": "x"}
    assert acme_api.post(SHARED + "noop/force/", body).status_code == 403
    assert staff_api.post(SHARED + "noop/force/", body).json()["state"] == "forced_open"
    assert_problem(staff_api.post(SHARED + "noop/force/", {"state": "open", "reason": "x"}), 422, "dependency_name")
    assert staff_api.post(SHARED + "noop/reset/", {"dependency": HOST}).json()["state"] == "closing"
