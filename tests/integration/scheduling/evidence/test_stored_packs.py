"""Stored packs: requested by people and schedules, made by upkeep, downloaded, and announced to contacts."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.test import APIClient

from scheduling.alerts import config
from scheduling.evidence import service
from scheduling.evidence.exceptions import EvidenceEmptyError, EvidenceStoreError
from scheduling.evidence.service import PACKS, SCHEDULES
from scheduling.models import AlertMessage, Contact, ContactGroup, EvidencePack, EvidenceSchedule
from scheduling.upkeep.runs import run_upkeep
from tenants.access.people import grant_platform_role
from tenants.access.permissions import Permission
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.evidence import test_packs
from tests.integration.scheduling.evidence.test_packs import LONG_AGO, act, seal, verify
from tests.keys import issue_api_key
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)
settled_at_once = test_packs.settled_at_once
STORED, QUEUED = EvidencePack.State.STORED, EvidencePack.State.QUEUED


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> Path:
    change_platform_settings(ARCHIVE=str(tmp_path))
    return tmp_path


def request_pack(tenant: Tenant, until: datetime, **values: Any) -> EvidencePack:
    with tenant_context(tenant):
        return PACKS.save(EvidencePack(), {"template": "soc2", "since": LONG_AGO, "until": until, **values})


def reread(pack: EvidencePack) -> EvidencePack:
    with all_tenants():
        return EvidencePack.objects.get(pk=pack.pk)


def add_schedule(tenant: Tenant, **values: Any) -> EvidenceSchedule:
    with tenant_context(tenant):
        group = config.GROUPS.save(ContactGroup(), {"name": "auditors"})
        config.CONTACTS.save(Contact(), {"channel": "webhook", "target": "https://example.com/a", "group": group})
        return SCHEDULES.save(EvidenceSchedule(), {"name": "monthly", "template": "deletion", "group": group, **values})


def test_requested_pack_is_made_stored_and_verifies(acme: Tenant, archive: Path) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    assert (pack.state, pack.requested_by) == (QUEUED, "system")
    seal()
    assert run_upkeep(name="evidence_packs").counts == {"packs": 1}
    made = reread(pack)
    assert (made.state, made.faults, made.key) == (STORED, 0, f"{acme.pk}/evidence/{pack.pk}.zip")
    assert made.entries > 0
    zipfile.ZipFile(archive / made.key).extractall(archive / "pack")
    assert verify(archive / "pack") == (0, "")


def test_same_request_has_the_same_bytes(acme: Tenant) -> None:
    act(acme)
    until = seal()
    packs = [request_pack(acme, until) for _ in range(2)]
    run_upkeep(name="evidence_packs")
    first, second = map(reread, packs)
    assert first.sha256 == second.sha256 != ""


def test_request_over_no_data_is_refused_unless_allowed(acme: Tenant) -> None:
    until = datetime(2019, 2, 1, tzinfo=UTC)
    with pytest.raises(EvidenceEmptyError):
        request_pack(acme, until, since=datetime(2019, 1, 1, tzinfo=UTC))
    request_pack(acme, until, since=datetime(2019, 1, 1, tzinfo=UTC), is_empty_allowed=True)


def test_stored_pack_is_not_changed_and_a_queued_one_is(acme: Tenant) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    stored = reread(pack)
    with tenant_context(acme):
        PACKS.save(stored, {"template": "deletion"})
    run_upkeep(name="evidence_packs")
    stored = reread(pack)
    with tenant_context(acme), pytest.raises(FieldInvalidError):
        PACKS.save(stored, {"template": "soc2"})
    assert (reread(pack).state, reread(pack).template) == (STORED, "deletion")


def test_pack_that_is_changed_while_it_is_made_is_made_again(acme: Tenant, archive: Path) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    with all_tenants():
        read = EvidencePack.objects.select_related("tenant").get(pk=pack.pk)
        EvidencePack.objects.filter(pk=pack.pk).update(template="gdpr")
    service._make(read)
    assert (reread(pack).state, list(archive.rglob("*.zip"))) == (QUEUED, [])


def test_request_without_an_archive_is_refused(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ARCHIVE="")
    with pytest.raises(EvidenceStoreError):
        request_pack(acme, datetime(2019, 2, 1, tzinfo=UTC))


def test_pack_stays_queued_while_the_archive_is_away(
    acme: Tenant, archive: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    change_platform_settings(ARCHIVE=str(archive / "away"))
    run = run_upkeep(name="evidence_packs")
    assert (run.outcome, reread(pack).state) == ("failed", QUEUED)
    assert "away" in reread(pack).error
    (archive / "away").mkdir()
    run_upkeep(name="evidence_packs")
    assert (reread(pack).state, reread(pack).error) == (STORED, "")


def test_schedule_over_a_period_without_data_is_refused_unless_allowed(acme: Tenant) -> None:
    with pytest.raises(EvidenceEmptyError):
        add_schedule(acme)
    add_schedule(acme, is_empty_allowed=True, name="quarterly", every="quarter")


def test_schedule_makes_one_pack_of_a_period_and_sends_its_link(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    act(acme)
    now = seal()
    # The current month is taken for the last one.
    monkeypatch.setattr(service, "read_clock", lambda: now + timedelta(days=31))
    monkeypatch.setattr(service, "last_period", lambda months, moment: (now - timedelta(days=1), now))
    schedule = add_schedule(acme)
    seal()
    for _ in range(2):
        run_upkeep(name="evidence_packs")
    with all_tenants():
        (pack,) = EvidencePack.objects.all()
        (message,) = AlertMessage.objects.select_related("contact").filter(what="notice")
        created = AuditLogEntry.objects.get(action="evidence_pack.created")
    assert (pack.schedule, pack.state, pack.tenant_id, pack.template) == (schedule.pk, STORED, acme.pk, "deletion")
    assert (pack.requested_by, created.target_id) == ("schedule:monthly", str(pack.pk))
    assert f"/scheduling/evidencepack/{pack.pk}/change/" in message.body["text"]
    assert (message.tenant_id, message.contact.group_id) == (acme.pk, schedule.group_id)


def client_with(tenant: Tenant, *scopes: Permission) -> APIClient:
    client = APIClient()
    key = issue_api_key(tenant=tenant, name="tests", scopes=list(scopes))
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}")
    return client


def test_download_is_recorded_and_needs_the_right(acme: Tenant, globex: Tenant) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    path, reader = f"/api/v1/evidence-packs/{pack.pk}/download/", client_with(acme, Permission.AUDIT_EXPORT)
    assert reader.get(path).json()["code"] == "evidence_not_stored"
    run_upkeep(name="evidence_packs")
    answer = reader.get(path)
    assert answer.status_code == 200
    names = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).namelist()
    assert {"manifest.json", "report.html", "audit_log.jsonl"} <= set(names)
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="evidence_pack.downloaded")
    assert (entry.tenant_id, entry.after) == (acme.pk, {"sha256": reread(pack).sha256})
    assert client_with(acme, Permission.AUDIT_VIEW).get(path).status_code == 403
    assert client_with(globex, Permission.AUDIT_EXPORT).get(path).status_code == 404


def test_deleted_pack_is_deleted_from_the_archive(acme: Tenant, archive: Path) -> None:
    act(acme)
    pack = request_pack(acme, seal())
    run_upkeep(name="evidence_packs")
    path = archive / reread(pack).key
    assert path.exists()
    with tenant_context(acme):
        PACKS.delete(reread(pack))
    assert not path.exists()


def test_console_shows_and_downloads_a_pack_of_the_platform(client: Client, acme: Tenant) -> None:
    act(acme)
    until = seal()
    with all_tenants():
        pack = PACKS.save(EvidencePack(), {"template": "gdpr", "since": LONG_AGO, "until": until})
    run_upkeep(name="evidence_packs")
    auditor = get_user_model().objects.create_user("audrey")
    grant_platform_role(user=auditor, role="auditor")
    client.force_login(auditor)
    page = client.get("/admin/scheduling/evidencepack/").content.decode()
    assert str(pack.pk) in page
    answer = client.post(f"/admin/scheduling/evidencepack/{pack.pk}/act/download/")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    answer.close()
