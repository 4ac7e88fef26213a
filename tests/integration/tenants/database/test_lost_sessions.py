"""Lost sessions in requests: answered by 503 with `Retry-After`, without any effect."""

from __future__ import annotations

import pytest
from django.db import connection

from tenants.context import all_tenants
from tenants.models import ApiKey
from tests.integration.tenants.test_requests import PROBE, code_of, session_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.integration.tenants.probe_urls")]

HOW = ["idle", "long", "commit"]


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest) -> str:
    if request.param == "long" and connection.pg_version < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    return request.param


def count_probes() -> int:
    with all_tenants():
        return ApiKey.objects.filter(name="probe").count()


def test_view_of_the_api_that_loses_its_session_is_unavailable(how, acme, api_client):
    response = api_client(acme).post(PROBE, {"how": how})
    assert code_of(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert count_probes() == 0


def test_plain_view_that_loses_its_session_is_unavailable(how, acme_user):
    response = session_of(acme_user).get(f"/api/v1/losing/{how}/")
    assert code_of(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert count_probes() == 0


def test_page_that_loses_its_session_is_unavailable(how, acme_user):
    response = session_of(acme_user).get(f"/admin/losing/{how}/")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert count_probes() == 0
