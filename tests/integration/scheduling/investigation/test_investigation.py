"""Investigations: their suspects, bounds, scope, history, outcome, pages and API, on planted rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from scheduling.investigation import sources
from scheduling.investigation.case import Case
from scheduling.investigation.lift import Suspect
from scheduling.investigation.service import InvestigationNotFoundError, record_outcome
from scheduling.models import (
    Alert,
    AlertCause,
    AlertRule,
    Anomaly,
    Investigation,
    Queue,
    Worker,
    WorkerPool,
)
from scheduling.stops.pauses import pause_queue
from scheduling.topology.service import update_queue
from scheduling.upkeep.erasure import ERASER
from scheduling.upkeep.retention import platform_rows
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.database.prepared import fetch_all
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.investigation.helpers import (
    FINGERPRINT,
    ask,
    make_alert,
    plant_bad_version,
    titles,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def bad_version(acme: Tenant, globex: Tenant) -> Worker:
    return plant_bad_version(acme, globex)


def test_bad_version_is_the_first_suspect(bad_version: Worker) -> None:
    found = ask(alert=make_alert().pk)
    assert any("2.0" in title for title in titles(found)[:2])
    assert "version 2.0" in found.suspects[0]["title"]
    assert "100% of the failures" in found.suspects[0]["evidence"][0]
    assert found.evidence["unread"] == []
    assert found.evidence["first"]["message"] == "ValueError: no header"


def test_change_of_the_queue_comes_before_that_of_another(acme: Tenant, pool: WorkerPool) -> None:
    update_queue(queue=Queue.objects.get(name="dataset"), changes={"weight": 7})
    update_queue(queue=Queue.objects.get(name="pipeline"), changes={"weight": 9}, reason="less of it")
    alert = make_alert(measure="oldest_wait", key="queue:pipeline", threshold=300, value=301)
    found = ask(alert=alert.pk)
    assert titles(found)[0] == "queue.changed pipeline"
    assert "less of it" in found.suspects[0]["evidence"][0]
    assert found.suspects[0]["ref"].startswith("audit:")


def test_paused_queue_is_a_suspect_however_long_ago(acme: Tenant, pool: WorkerPool) -> None:
    queue = Queue.objects.get(name="pipeline")
    pause_queue(queue=queue, reason="moved")
    with all_tenants():
        Queue.objects.filter(pk=queue.pk).update(paused_at=timezone.now() - timedelta(minutes=30))
    found = ask(queue="pipeline", began_at=timezone.now())
    assert found.suspects[0]["ref"] == "" or found.suspects[0]["ref"].startswith("audit:")
    assert any("moved" in text for text in found.suspects[0]["evidence"])


def test_cause_begins_with_its_first_failure(acme: Tenant, bad_version: Worker) -> None:
    first = timezone.now() - timedelta(minutes=3)
    with all_tenants():
        AlertCause.objects.create(
            tenant=acme, fingerprint=FINGERPRINT, kind="noop", message="x", job_id=uuid7(), first_at=first,
            last_at=first, count=20,
        )  # fmt: skip
    found = ask(fingerprint=FINGERPRINT)
    assert found.began_at == first
    assert "version 2.0" in titles(found)[0]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"kind": "noop"},
        {"began_at": timezone.now()},
        {"fingerprint": "f" * 16},
        {"kind": "noop", "began_at": timezone.now() + timedelta(days=1)},
    ],
)
def test_question_without_subject_or_time_is_refused(asked: dict[str, Any], acme: Tenant) -> None:
    with pytest.raises(FieldInvalidError):
        ask(**asked)


def test_tenant_learns_nothing_of_workers_and_other_tenants(acme: Tenant, globex: Tenant, bad_version: Worker) -> None:
    with all_tenants():
        AuditLogEntry.objects.create(
            id=uuid7(), tenant=globex, action="settings.changed", actor_kind="user", target_type="x", target_id="theirs"
        )
    make_alert(measure="check", key="check:writes")
    found = ask(acme, alert=make_alert(acme).pk)
    shown = f"{found.suspects} {found.evidence}"
    for hidden in ("version", "host-", "globex", "theirs", "writes"):
        assert hidden not in shown
    assert "The platform itself had a fault at this time." in titles(found)
    assert found.tenant_id == acme.pk
    with tenant_context(globex):
        assert not Investigation.objects.filter(pk=found.pk).exists()


def test_alert_of_another_tenant_is_not_found(acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(Exception, match="no such alert"):
        ask(acme, alert=make_alert(globex).pk)


def test_source_that_fails_is_named_and_the_others_are_read(
    acme: Tenant, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(case: Case) -> Iterator[Suspect]:
        fetch_all("SELECT pg_sleep(60)")
        yield from ()

    update_queue(queue=Queue.objects.get(name="pipeline"), changes={"weight": 9})
    monkeypatch.setattr("scheduling.investigation.service.SOURCE_TIMEOUT_MS", 50)
    monkeypatch.setattr(sources, "SOURCES", (sources.Source("slow", read), *sources.SOURCES))
    found = ask(queue="pipeline", began_at=timezone.now())
    assert "slow" in found.evidence["unread"]
    assert "queue.changed pipeline" in titles(found)


def test_what_was_done_the_last_time_is_shown_with_its_outcome(acme: Tenant, pool: WorkerPool) -> None:
    values: dict[str, Any] = {"measure": "oldest_wait", "key": "queue:pipeline"}
    fired = timezone.now() - timedelta(minutes=1)
    former = make_alert(
        **values, state="resolved", fired_at=fired, pending_at=fired, outcome="helped", outcome_note="ok"
    )
    update_queue(queue=Queue.objects.get(name="pipeline"), changes={"cap": 9}, reason="more room")
    with all_tenants():
        rule = Alert.objects.filter(pk=former.pk)
        rule.update(resolved_at=timezone.now() + timedelta(seconds=1))
        shipped = AlertRule.objects.filter(measure="oldest_wait").first()
        rule.update(rule=shipped)
    alert = make_alert(**values, rule=shipped)
    (earlier,) = ask(alert=alert.pk).evidence["earlier"]
    assert "the remedy helped ok" in earlier["outcome"]
    assert "more room" in earlier["acts"][-1]


def test_outcome_is_shown_by_the_next_investigation(acme: Tenant, pool: WorkerPool) -> None:
    update_queue(queue=Queue.objects.get(name="pipeline"), changes={"weight": 9})
    found = ask(acme, kind="noop", queue="pipeline", began_at=timezone.now())
    with tenant_context(acme):
        with pytest.raises(FieldInvalidError):
            record_outcome(investigation_id=found.pk, cause=len(found.suspects) + 1)
        row = record_outcome(investigation_id=found.pk, cause=None, has_helped=True, note="restarted")
        with pytest.raises(InvestigationNotFoundError):
            record_outcome(investigation_id=uuid7(), cause=None)
        assert AuditLogEntry.objects.filter(action="investigation.answered", target_id=str(row.pk)).exists()
    again = ask(acme, kind="noop", queue="pipeline", began_at=timezone.now())
    assert "restarted" in again.evidence["earlier"][0]["outcome"]


def test_anomalies_before_the_onset_are_evidence(acme: Tenant, globex: Tenant, bad_version: Worker) -> None:
    facts = {"measure": "rate", "value": 900.0, "low": 20.0, "high": 50.0, "seen_at": timezone.now()}
    with all_tenants():
        for series in (
            {"scope": "queue", "name": "pipeline", "score": 9.0, "began_at": since(5)},
            {"scope": "queue", "name": "dataset", "score": 9.0, "began_at": since(5)},
            {"scope": "kind", "name": "noop", "tenant": acme, "score": 2.0, "began_at": since(4)},
            {"scope": "tenant", "name": str(globex.pk), "tenant": globex, "score": -2.0, "began_at": since(4)},
            {"scope": "queue", "name": "integrations", "score": 9.0, "began_at": since(200)},
        ):
            Anomaly.objects.create(**{**facts, **series})
    found = ask(alert=make_alert(measure="oldest_wait", key="queue:pipeline").pk)
    told = {one["title"]: one for one in found.suspects if any("900 a minute" in text for text in one["evidence"])}
    assert next(iter(told)) == "queue pipeline"
    assert set(told) == {"queue pipeline", "queue dataset", f"kind noop, tenant {acme.slug}", f"tenant {globex.slug}"}
    assert told["queue pipeline"]["ref"] == "jobs:queue:pipeline"
    assert told["queue pipeline"]["score"] > 5 * told["queue dataset"]["score"]
    own = ask(acme, kind="noop", began_at=since(1))
    assert [one["title"] for one in own.suspects if one["title"] == "kind noop"]
    assert not any("dataset" in title or globex.slug in title for title in titles(own))


def test_investigations_are_pruned_and_erased(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    of_platform = ask(only_tenant=acme.pk, began_at=timezone.now())
    other = ask(kind="noop", began_at=timezone.now())
    assert of_platform.named_tenants == [acme.pk]
    with all_tenants():
        # It names the tenant too, which was created just before.
        Investigation.objects.filter(pk=other.pk).update(named_tenants=[])
        ERASER.erase(acme.pk, 100)
        assert [row.pk for row in Investigation.objects.all()] == [other.pk]
        monkeypatch.setattr(platform_rows, "INVESTIGATIONS", -timedelta(days=1))
        assert platform_rows.prune_platform_rows(limit=10)["investigations"] == 1


def test_command_prints_the_suspects(bad_version: Worker) -> None:
    out = StringIO()
    call_command("investigate", str(make_alert().pk), stdout=out)
    assert "version 2.0" in out.getvalue()


def since(minutes: float) -> datetime:
    return timezone.now() - timedelta(minutes=minutes)


def test_executions_are_bounded(bad_version: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "HALF", 2)
    assert not any("version" in title for title in titles(ask(kind="noop", began_at=since(4))) if "deploy" not in title)
