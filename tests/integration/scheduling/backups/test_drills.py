"""Plans of backups, drills, and the alert about the age of backups."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from scheduling.alerts.measures import measure_of
from scheduling.backups.drill import run_drill
from scheduling.backups.exceptions import BackupDamagedError, BackupDatabaseError
from scheduling.backups.models import OVERTAKEN, UNENDED, Backup, BackupPlan
from scheduling.backups.plans import BACKUP_PLANS, find_due_plans, run_plan
from scheduling.backups.service import make_backup
from scheduling.backups.snapshot import connect, reader_conninfo
from scheduling.backups.target import Target
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.upkeep.runs import run_upkeep
from tenants.audit.auditor import auditor_login
from tenants.audit.heads import sign_heads
from tenants.audit.sealing import seal_entries
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.databases import connect_as_owner
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def plan(acme: Tenant, target: Target) -> BackupPlan:
    """Return a plan of daily backups to the target."""
    return BACKUP_PLANS.save(BackupPlan(), {"name": "daily", "target": target.address, "keep_least": 1})


def _sealed() -> None:
    with auditor_login():
        seal_entries()
        sign_heads()


def test_drill_restores_the_newest_backup_and_records_rpo_and_rto(acme: Tenant, target: Target) -> None:
    submit_job(tenant=acme, request=JobRequest("noop"))
    _sealed()
    name = make_backup(target).name

    backup, checks = run_drill(target)

    assert backup.name == name
    assert backup.faults == []
    assert {"audit", "jobs", "ledger", "counters", "canary"} <= set(checks)
    assert backup.restore_seconds is not None
    assert backup.restore_seconds > 0
    assert backup.loss_seconds is not None
    assert backup.loss_seconds >= 0
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="backup.verified")
    assert entry.target_id == name
    with connect_as_owner("jobs") as owner:
        own = f"{connection.settings_dict['NAME']}_scratch%"
        assert owner.execute("SELECT FROM pg_database WHERE datname LIKE %s", [own]).fetchall() == []


def test_drill_finds_an_altered_audit_log(acme: Tenant, target: Target, django_db_setup: object) -> None:
    _sealed()
    with connect_as_owner(str(connection.settings_dict["NAME"])) as owner, owner.transaction():
        owner.execute("SELECT set_config('role', %s, true)", ["jobs_platform"])
        owner.execute("RESET ROLE")
        owner.execute("ALTER TABLE tenants_auditlogentry DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY")
        owner.execute("UPDATE tenants_auditlogentry SET reason = 'altered' WHERE action = 'tenant.created'")
        owner.execute("ALTER TABLE tenants_auditlogentry ENABLE TRIGGER USER, FORCE ROW LEVEL SECURITY")
    make_backup(target)
    backup, _ = run_drill(target)
    assert any("audit_chain" in fault for fault in backup.faults)
    with pytest.raises(CommandError, match="faults"):
        call_command("drill", "--from", target.address)


def test_drill_of_a_damaged_backup_is_refused(acme: Tenant, target: Target) -> None:
    path = Path(target.address) / make_backup(target).name / "database.dump.enc"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamagedError):
        run_drill(target)


def test_drill_command_prints_facts(acme: Tenant, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    _sealed()
    name = make_backup(target).name
    call_command("drill", "--from", target.address, "--dry-run")
    assert f"{name} is intact" in capsys.readouterr().out
    with all_tenants():
        assert not Backup.objects.exists()
    call_command("drill", "--from", target.address, "--json")
    assert json.loads(capsys.readouterr().out)["rto_seconds"] > 0


def test_upkeep_makes_the_backup_of_a_plan_once_it_is_due(plan: BackupPlan, target: Target) -> None:
    assert run_upkeep(name="due_backups").counts == {"backups": 1}
    assert run_upkeep(name="due_backups").counts == {"backups": 0}
    with all_tenants():
        row = Backup.objects.get()
        assert (row.plan, row.state, target.names()) == (plan, "stored", [row.name])
        Backup.objects.update(taken_at=F("taken_at") - timedelta(hours=24))
    assert [due.pk for due in find_due_plans()] == [plan.pk]


def test_failed_backup_is_recorded_and_tried_again_later(
    plan: BackupPlan, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling.backups.service.count_dumped_rows", lambda *_: {})
    run = run_upkeep(name="due_backups")
    assert run.outcome == "failed"
    with all_tenants():
        row = Backup.objects.get()
        assert row.state == "failed"
        assert "BYPASSRLS" in row.error
    assert find_due_plans() == []
    with all_tenants():
        Backup.objects.update(taken_at=F("taken_at") - timedelta(minutes=16))
    assert find_due_plans() == [plan]


def test_killed_backup_is_failed_and_the_next_one_succeeds(
    plan: BackupPlan, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        with all_tenants():
            assert Backup.objects.get().state == "running"
        raise KeyboardInterrupt

    monkeypatch.setattr("scheduling.backups.service.count_dumped_rows", die)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan)
    monkeypatch.undo()
    with all_tenants():
        row = Backup.objects.get()
        assert (row.state, row.error) == ("failed", UNENDED)
    assert target.names() == []
    made = run_plan(plan)
    with all_tenants():
        assert made.state == "stored"
        assert set(Backup.objects.values_list("name", "error")) == {("–", OVERTAKEN), (made.name, "")}


def test_lost_database_is_a_named_error_and_leaves_nothing(
    acme: Tenant, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_session(*_: object) -> dict[str, int]:
        with connect(reader_conninfo()) as reader:
            reader.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()"
            )
        return {}

    monkeypatch.setattr("scheduling.backups.service.count_dumped_rows", end_session)
    monkeypatch.setattr("scheduling.backups.service.differing_tables", lambda *_: [])
    with pytest.raises(BackupDatabaseError, match="make another one"):
        make_backup(target)
    assert list(Path(target.address).glob("*")) == []


def test_upkeep_without_a_login_reports_what_is_missing(
    plan: BackupPlan, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(DATABASE_BACKUP_URL="")
    run = run_upkeep(name="due_backups")
    assert run.outcome == "failed"
    assert "DATABASE_BACKUP_URL" in run.error


def test_expired_backups_are_deleted_and_the_newest_kept(plan: BackupPlan, target: Target) -> None:
    first = run_plan(plan)
    with all_tenants():
        Backup.objects.update(taken_at=F("taken_at") - timedelta(days=31))
    second = run_plan(plan)
    assert target.names() == [second.name]
    with all_tenants():
        assert Backup.objects.get(pk=first.pk).state == "deleted"
        assert AuditLogEntry.objects.get(action="backup.deleted").target_id == first.name


def test_age_of_the_newest_backup_is_measured_in_promised_ages(plan: BackupPlan) -> None:
    run_plan(plan)
    with all_tenants():
        Backup.objects.update(taken_at=F("taken_at") - timedelta(hours=plan.promised_hours))
        (sample,) = measure_of("backup_age").read(read_clock())
    assert sample.value == pytest.approx(1.0, abs=0.01)
    assert sample.label == "daily"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"target": "backups"}, "target"),
        ({"target": "/"}, "target"),
        ({"target": "s3://"}, "target"),
        ({"target": "/b", "promised_hours": 3, "every_hours": 4}, "promised_hours"),
        ({"target": "/b", "every_hours": 0}, "every_hours"),
    ],
)
def test_plan_that_cannot_be_kept_is_refused(acme: Tenant, values: dict[str, object], field: str) -> None:
    with pytest.raises(FieldInvalidError, match=field):
        BACKUP_PLANS.save(BackupPlan(), {"name": "x", **values})
