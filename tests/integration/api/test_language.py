"""Language of API errors: the requested one, with the same codes in all."""

from __future__ import annotations

from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tenants.models import Tenant

pytestmark = pytest.mark.django_db
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9"}


def test_problem_is_in_the_requested_language(acme: Tenant, acme_api: APIClient) -> None:
    path = f"/api/v1/jobs/{uuid4()}/"
    english, chinese = acme_api.get(path), acme_api.get(path, headers=CHINESE)
    assert (english.json()["title"], chinese.json()["title"]) == ("There is no such job", "没有这个任务")
    assert english.json()["code"] == chinese.json()["code"] == "not_found"
    assert chinese.headers["Content-Language"] == "zh-hans"
    assert "Accept-Language" in chinese.headers["Vary"]


def test_translated_detail_contains_its_values(acme: Tenant, acme_api: APIClient) -> None:
    body = {"kind": "noop", "payload": {}, "priority": 32_000}
    english = acme_api.post("/api/v1/jobs/", body, format="json").json()
    chinese = acme_api.post("/api/v1/jobs/", body, format="json", headers=CHINESE).json()
    assert english["detail"].startswith("Priority must lie between")
    assert chinese["detail"].startswith("在此套餐中，优先级必须在 -")
    assert english["code"] == chinese["code"] == "priority_not_allowed"


def test_field_error_is_in_the_requested_language(acme: Tenant, acme_api: APIClient) -> None:
    body = {"cron": "x", "timezone": "Nowhere/None"}
    chinese = acme_api.post("/api/v1/schedules/preview/", body, format="json", headers=CHINESE).json()
    details = " ".join(fault["detail"] for fault in chinese["errors"])
    assert "没有这个时区" in details
    assert "必须有五个字段" in details


def test_waiting_reasons_are_in_the_requested_language(acme: Tenant, acme_api: APIClient) -> None:
    job = acme_api.post("/api/v1/jobs/", {"kind": "noop"}, format="json").json()
    waiting = acme_api.get(f"/api/v1/jobs/{job['id']}/", headers=CHINESE).json()["waiting"]["reasons"]
    english = acme_api.get(f"/api/v1/jobs/{job['id']}/").json()["waiting"]["reasons"]
    assert [reason["code"] for reason in waiting] == [reason["code"] for reason in english]
    assert all(one["detail"] != other["detail"] for one, other in zip(waiting, english, strict=True))


def test_payload_violations_are_in_the_requested_language(acme: Tenant, acme_api: APIClient) -> None:
    body = {"kind": "sleep", "payload": {"seconds": "long", "colour": "red"}}
    english = acme_api.post("/api/v1/jobs/", body, format="json").json()["errors"]
    chinese = acme_api.post("/api/v1/jobs/", body, format="json", headers=CHINESE).json()["errors"]
    assert {fault["detail"] for fault in english} >= {"'long' is not of type 'number'"}
    assert {fault["detail"] for fault in chinese} >= {"'long' 的类型不是 'number'"}
    assert [(fault["field"], fault["code"]) for fault in chinese] == [
        (fault["field"], fault["code"]) for fault in english
    ]
