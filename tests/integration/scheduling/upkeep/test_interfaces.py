"""Upkeep in the console, the API, the command and the task."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.celery import publishing, tasks
from scheduling.exceptions import BrokerUnavailableError
from scheduling.models import UpkeepRun
from scheduling.upkeep.registry import UpkeepStep
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.upkeep.conftest import Plant

pytestmark = pytest.mark.django_db

PAGE = "admin:scheduling_upkeeprun_changelist"
RUN = "/api/v1/upkeep/partitions/run/"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the tasks that were sent to the maintenance pool."""
    names: list[str] = []
    monkeypatch.setattr(publishing, "publish_upkeep", names.append)
    monkeypatch.setattr(tasks, "publish_upkeep", names.append)
    return names


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    client = APIClient()
    client.force_login(staff)
    return client


def test_page_shows_each_task_with_its_last_result(client: Client, staff: User) -> None:
    client.force_login(staff)
    assert "never" in client.get(reverse(PAGE)).content.decode()
    run_upkeep(name="partitions")
    page = client.get(reverse(PAGE)).content.decode()
    for words in ("Partitions", "partitions created", "Run now", "ago"):
        assert words in page


def test_page_shows_failed_and_overdue_tasks(client: Client, staff: User, plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=["Seven rows differ."]))
    run_upkeep(name="planted")
    client.force_login(staff)
    assert "Seven rows differ." in client.get(reverse(PAGE)).content.decode()
    overview = client.get(reverse("admin:index")).content.decode()
    assert "Seven rows differ." in overview


def test_run_now_sends_the_task_and_is_audited(client: Client, staff: User, published: list[str]) -> None:
    client.force_login(staff)
    url = reverse("admin:scheduling_upkeeprun_run", args=["partitions"])
    assert client.get(url).status_code == 405
    assert published == []
    assert client.post(url).status_code == 302
    assert published == ["partitions"]
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="upkeep.requested")
    assert (entry.actor_label, entry.target_id) == ("stella", "partitions")


def test_members_cannot_see_or_run_upkeep(
    client: Client, acme_user: User, acme: Tenant, api_client: Callable[[Tenant], APIClient], published: list[str]
) -> None:
    client.force_login(acme_user)
    assert client.get(reverse(PAGE)).status_code == 403
    assert client.post(reverse("admin:scheduling_upkeeprun_run", args=["partitions"])).status_code == 403
    key = api_client(acme)
    assert key.get("/api/v1/upkeep/").status_code == 403
    assert key.post(RUN).status_code == 403
    assert published == []


def test_api_lists_shows_and_runs_tasks(staff_api: APIClient, published: list[str]) -> None:
    run_upkeep(name="partitions")
    listed = staff_api.get("/api/v1/upkeep/").json()["results"]
    line = next(line for line in listed if line["name"] == "partitions")
    assert (line["interval_seconds"], line["last_run"]["outcome"]) == (3600.0, "ok")
    assert staff_api.get("/api/v1/upkeep/partitions/").json() == line
    assert staff_api.post(RUN).status_code == 202
    assert published == ["partitions"]


def test_api_refuses_unknown_names(staff_api: APIClient, published: list[str]) -> None:
    assert staff_api.get("/api/v1/upkeep/nonsense/").status_code == 404
    assert staff_api.post("/api/v1/upkeep/nonsense/run/").status_code == 404
    assert staff_api.get("/api/v1/upkeep/?colour=red").status_code == 422
    assert staff_api.post(RUN, {"force": True}, format="json").status_code == 422
    assert published == []


def test_run_now_without_a_broker_is_refused_and_not_audited(
    staff_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str) -> None:
        raise BrokerUnavailableError("no answer")

    monkeypatch.setattr(publishing, "publish_upkeep", away)
    response = staff_api.post(RUN)
    assert (response.status_code, response.json()["code"]) == (503, "broker_unavailable")
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="upkeep.requested").exists()


def call(*arguments: str) -> Any:
    written = io.StringIO()
    call_command("run_upkeep", *arguments, stdout=written)
    return written.getvalue()


def test_command_runs_lists_and_fails_on_findings(plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=["Seven rows differ."]))
    assert json.loads(call("partitions", "--json"))[0]["outcome"] == "ok"
    with pytest.raises(CommandError, match="Seven rows differ"):
        call("planted")
    listed = {line["name"]: line["last_run"] for line in json.loads(call("--list", "--json"))}
    assert listed["planted"]["outcome"] == "failed"
    with pytest.raises(CommandError, match="Pass the name"):
        call()
    with pytest.raises(CommandError, match="not_found"):
        call("nonsense")


def test_task_sends_itself_again_while_there_is_more(
    plant: Plant, published: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(lambda budget: UpkeepStep({"rows": 1}, has_more=True))
    monkeypatch.setattr(tasks, "check_connection", lambda: None)  # it would end the test's own transaction
    monkeypatch.setattr("scheduling.upkeep.runs.run_upkeep", lambda *, name, is_paced: run_upkeep(name=name, seconds=0))
    assert tasks.run_upkeep("planted") == "partial"
    assert published == ["planted"]
    assert tasks.run_upkeep("partitions") == "ok"
    assert published == ["planted"]
    assert UpkeepRun.objects.filter(name="planted").count() == 1
