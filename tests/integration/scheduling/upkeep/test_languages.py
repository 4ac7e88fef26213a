"""Languages of upkeep: findings are stored in English and shown in the reader's language."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from scheduling.consistency import sums
from scheduling.consistency.counters import KINDS, fault_of
from scheduling.consistency.sums import USAGE, usage_fault
from scheduling.models import UpkeepRun
from scheduling.upkeep import runs
from scheduling.upkeep.partitions import missing_days
from scheduling.upkeep.registry import UpkeepStep
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.translation import LocalizableText
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit
from tests.integration.scheduling.upkeep.conftest import Plant

pytestmark = pytest.mark.django_db

CHINESE = {"Accept-Language": "zh-CN"}
OFF = LocalizableText(
    "The ledger of tenant %(tenant)s is off by %(microseconds)s µs.", {"tenant": "acme", "microseconds": 7}
)
PAGE = "admin:scheduling_upkeeprun_changelist"


def pages_of(run: UpkeepRun) -> Iterable[str]:
    yield reverse(PAGE)
    yield reverse("admin:scheduling_upkeeprun_change", args=[run.pk])
    yield reverse("admin:index")


def test_finding_is_shown_in_the_readers_language_on_every_page(client: Client, staff: User, plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=[OFF]))
    run = run_upkeep(name="planted")
    client.force_login(staff)
    for page in pages_of(run):
        english = client.get(page).content.decode()
        chinese = client.get(page, headers=CHINESE).content.decode()
        assert "The ledger of tenant acme is off by 7 µs." in english, page
        assert "租户 acme 的账目相差 7 µs。" in chinese, page
        assert "The ledger" not in chinese, page
        assert "%(tenant)" not in english + chinese, page


def test_finding_is_in_the_language_of_the_api_request(staff: User, plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=[OFF, "Seven rows differ."]))
    run_upkeep(name="planted")
    api = APIClient()
    api.force_login(staff)
    english = api.get("/api/v1/upkeep/planted/").json()["last_run"]["findings"]
    chinese = api.get("/api/v1/upkeep/planted/", headers=CHINESE).json()["last_run"]["findings"]
    assert english == ["The ledger of tenant acme is off by 7 µs.", "Seven rows differ."]
    assert chinese == ["租户 acme 的账目相差 7 µs。", "Seven rows differ."]


def test_tasks_are_named_in_the_language_of_the_api_request(staff: User) -> None:
    api = APIClient()
    api.force_login(staff)
    english, chinese = (
        {task["name"]: task for task in api.get("/api/v1/upkeep/", headers=headers).json()["results"]}
        for headers in ({}, CHINESE)
    )
    assert english["partitions"]["title"].isascii()
    for name, task in chinese.items():
        for part in ("title", "text"):
            assert re.search(r"[\u4e00-\u9fff]", task[part]), (name, part, task[part])


def test_findings_are_stored_with_separate_values(plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=[OFF, "Seven rows differ by 100 %."]))
    run = run_upkeep(name="planted")
    assert run.findings == [
        {"text": OFF.text, "values": {"tenant": "acme", "microseconds": 7}},
        {"text": "Seven rows differ by 100 %.", "values": {}},
    ]
    with translation.override("zh-hans"):
        assert run.messages == ["租户 acme 的账目相差 7 µs。", "Seven rows differ by 100 %."]
    assert run.counts == {"findings": 2}


def test_findings_are_stored_up_to_a_limit_and_all_counted(plant: Plant) -> None:
    most = runs.MAX_FINDINGS
    plant(
        lambda budget: UpkeepStep(findings=[OFF] * (most - 1), has_more=not budget.cursor, cursor={"is_second": True})
    )
    run = run_upkeep(name="planted")
    assert run.counts == {"findings": 2 * (most - 1)}
    assert run.sentences == [OFF] * most


def test_reason_of_an_interrupted_run_is_in_the_readers_language(client: Client, staff: User, plant: Plant) -> None:
    plant(lambda budget: UpkeepStep())
    run = run_upkeep(name="planted")
    with all_tenants():
        UpkeepRun.objects.filter(pk=run.pk).update(error=runs.KILLED, outcome="failed")
    client.force_login(staff)
    for page in pages_of(run):
        chinese = client.get(page, headers=CHINESE).content.decode()
        assert "此次运行的进程被终止" in chinese, page
        assert "The process" not in chinese, page


def test_command_output_is_english_in_any_locale(plant: Plant) -> None:
    plant(lambda budget: UpkeepStep(findings=[OFF]))
    written = io.StringIO()
    with translation.override("zh-hans"):
        with pytest.raises(CommandError, match=r"The ledger of tenant acme is off by 7 µs\."):
            call_command("run_upkeep", "planted", "--json", stdout=written)
        listed = io.StringIO()
        call_command("run_upkeep", "--list", "--json", stdout=listed)
    assert json.loads(written.getvalue())[0]["findings"] == ["The ledger of tenant acme is off by 7 µs."]
    lines = {line["name"]: line["last_run"] for line in json.loads(listed.getvalue())}
    assert lines["planted"]["findings"] == ["The ledger of tenant acme is off by 7 µs."]


@pytest.fixture
def work(acme: Tenant, tick: Tick, start: Start) -> None:
    jobs = submit(acme, 3)
    tick()
    complete(start, jobs[0])


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        (
            "verify_ledger",
            "UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'",
            "的账目相差 1 µs",
        ),
        ("verify_counters", "UPDATE scheduling_schedulingentity SET waiting = waiting + 1", "等待的任务"),
        ("verify_state", "DELETE FROM scheduling_execution_live", "在途执行"),
    ],
)
def test_findings_of_each_verification_are_translated(work: None, name: str, fault: str, words: str) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(fault)
    run = run_upkeep(name=name)
    assert run.outcome == "failed"
    with translation.override("zh-hans"):
        chinese = [sentence.localized for sentence in run.sentences]
        english = [str(sentence) for sentence in run.sentences]
    assert any(words in text for text in chinese), chinese
    assert all(one != other for one, other in zip(chinese, english, strict=True)), chinese


def test_days_without_a_partition_are_translated(db: None) -> None:
    with translation.override("zh-hans"):
        assert "没有分区" in missing_days()[0].localized
        assert "has no partition for the days in" in str(missing_days()[0])


def test_counter_names_are_translated(acme: Tenant) -> None:
    for name in KINDS:
        sentence = fault_of(name, acme.pk, "entity 7", 3, 4).detail
        assert isinstance(sentence, LocalizableText)
        assert str(sentence) == f"{name} of entity 7: 3, recounted 4."
        with translation.override("zh-hans"):
            assert name not in sentence.localized
            assert "entity" not in sentence.localized


def test_finding_about_worker_time_is_translated(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = usage_fault(USAGE, acme.pk, "2026-03", 1_000_009, 1_000_000)
    monkeypatch.setattr(sums, "find_usage", lambda page: [fault])
    monkeypatch.setattr(sums, "least_cutoff", lambda kept: datetime(2000, 1, 1, tzinfo=UTC))
    run = run_upkeep(name="verify_usage")
    assert f"Tenant {acme.pk} has 1,000,009 µs counted for 2026-03, but 1,000,000 are due." in str(run.sentences[0])
    with translation.override("zh-hans"):
        assert f"租户 {acme.pk} 在 2026-03 计为 1,000,009 µs，应计 1,000,000。" in run.messages[0]
