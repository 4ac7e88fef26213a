"""Evidence packs on sealed logs: their bytes, their verification without the platform, and refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from jobsplatform.settings.env import BASE_DIR
from scheduling.controls.models import ControlRule
from scheduling.controls.queries import current_controls
from scheduling.controls.runs import checked_run
from scheduling.controls.service import CONTROLS, override_controls
from scheduling.evidence import packs
from scheduling.evidence.controls import TEMPLATES
from scheduling.evidence.exceptions import EvidenceFolderError, EvidencePeriodError, EvidenceUnsealedError
from scheduling.evidence.packs import build_pack
from scheduling.evidence.review import review_access
from scheduling.evidence.sections import SECTIONS
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.access.api_keys import issue_api_key, revoke_api_key
from tenants.access.memberships import add_member, change_role, remove_member
from tenants.access.people import grant_platform_role
from tenants.access.permissions import Permission
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.signing import public_key_text
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.models import AuditLogEntry, Membership, Tenant
from tests.auditing import seal_entries, sign_heads
from tests.integration.tenants.audit import conftest as audit_conftest

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
VERIFIER = BASE_DIR / "scheduling" / "evidence" / "verify_evidence.py"
SOC2 = TEMPLATES["soc2"]
owner = audit_conftest.owner


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept periods that have just ended."""
    monkeypatch.setattr(packs, "_SETTLED", timedelta(0))


def seal() -> datetime:
    """Seal all entries, sign the heads, and return a time at which both are past."""
    seal_entries(budget_seconds=60)
    sign_heads()
    return read_moment()


def act(tenant: Tenant, action: str = "job.payload_revealed", after: Any = None) -> None:
    with tenant_context(tenant), acting_as(Actor(kind="user", id="7", label="alice")):
        record_audit(action=action, target=AuditTarget("scheduling.job", "1"), after=after or {"n": 1}, reason="<b>&")


def verify(folder: Path, *keys: str) -> tuple[int, str]:
    """Run the shipped script in a bare interpreter and return its status and output."""
    command = [sys.executable, "-I", str(VERIFIER), str(folder), *(keys or [public_key_text()])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    return done.returncode, done.stderr


def lines(folder: Path, section: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{section}.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def pack(acme: Tenant, globex: Tenant, tmp_path: Path) -> Path:
    """Return a pack of the whole platform, in which acme revealed a payload."""
    for values in ({"n": 1.5}, {"words": "größer ≥ 1\n", "deep": [{"a": None}]}, {"big": 10**30, "small": 1e-9}):
        act(acme, after=values)
    act(globex, "tenant.paused")
    build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=seal())
    return tmp_path / "pack"


def test_pack_verifies_without_the_platform(pack: Path) -> None:
    assert verify(pack) == (0, "")


def test_pack_of_a_closed_period_has_the_same_bytes_after_later_acts(acme: Tenant, tmp_path: Path) -> None:
    users = get_user_model()
    alice, bob = (users.objects.create_user(name) for name in ("alice", "bob"))
    for user in (alice, bob):
        add_member(tenant=acme, user=user, role="viewer")
        with tenant_context(acme), acting_as(Actor(kind="user", id=str(user.pk), label=user.get_username())):
            record_audit(action="job.noted", target=AuditTarget("scheduling.job", "1"), after={"n": 1})
    key = issue_api_key(tenant=acme, name="ci", scopes=[Permission.JOBS_VIEW]).key
    until = seal()
    build_pack(tmp_path / "first", template=SOC2, since=LONG_AGO, until=until)

    with tenant_context(acme):
        change_role(membership=Membership.objects.get(user=alice), role="developer")
        remove_member(membership=Membership.objects.get(user=bob))
    revoke_api_key(api_key=key)
    grant_platform_role(user=alice, role="auditor")
    users.objects.update(last_login=read_moment())
    seal()
    build_pack(tmp_path / "second", template=SOC2, since=LONG_AGO, until=until)

    assert [row["last_act_at"] is None for row in lines(tmp_path / "first", "rights")] == [True, False, False]
    assert lines(tmp_path / "first", "rights") == lines(tmp_path / "second", "rights")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_planted_violation_of_each_control_is_in_the_pack(acme: Tenant, tmp_path: Path) -> None:
    planted: dict[str, tuple[str, dict[str, Any]]] = {
        "required_tags": ("submission", {"tags": ["reviewed"]}),
        "allowed_kinds": ("submission", {"kinds": ["sleep"]}),
        "payload_detector": ("submission", {"detect": ["card"]}),
        "maintenance_window": ("submission", {"days": [0, 1, 2, 3, 4, 5, 6]}),
        "key_residency": ("submission", {"regions": ["eu"]}),
        "egress_hosts": ("effect", {"hosts": ["example.org"]}),
    }
    with tenant_context(acme):
        for rule, (checkpoint, parameters) in planted.items():
            values = {"name": rule, "rule": rule, "checkpoint": checkpoint, "parameters": parameters}
            CONTROLS.save(ControlRule(), values)
    card = "4111 1111 1111 1111"
    job = submit_job(tenant=acme, request=JobRequest(kind="noop", payload={"card": card})).job
    started: Any = SimpleNamespace(job_id=job.pk, tenant_id=acme.pk, kind="noop", controls=current_controls())
    with checked_run(started) as check:
        assert not check.allows("example.com")
    check.finish(None)
    with tenant_context(acme):
        override_controls(job_id=job.pk, reason="a test card")
    build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=seal(), tenant=acme)
    assert verify(tmp_path / "pack") == (0, "")
    entries = [line["entry"] for line in lines(tmp_path / "pack", "failed_controls")]
    failed = [entry for entry in entries if entry["action"] == "control.failed"]
    assert {one["rule"] for entry in failed for one in entry["after"]["controls"]} == planted.keys()
    assert [entry["reason"] for entry in entries if entry["action"] == "control.overridden"] == ["a test card"]
    assert card not in (tmp_path / "pack" / "report.html").read_text()


@pytest.mark.parametrize("name", ["audit_log.jsonl", "rights.jsonl", "report.html", "manifest.json"])
def test_pack_with_one_changed_byte_is_refused(pack: Path, name: str) -> None:
    data = bytearray((pack / name).read_bytes()) or bytearray(b"\n")
    place = data.find(b'"title": "SOC') + 12 if name == "manifest.json" else len(data) // 2
    data[place] ^= 1
    (pack / name).write_bytes(data)
    status, faults = verify(pack)
    assert (status, name in faults) == (1, True)


def test_pack_without_a_file_or_with_another_key_is_refused(pack: Path) -> None:
    assert "its signature is not of a given key" in verify(pack, "A" * 43 + "=")[1]
    (pack / "sessions.jsonl").unlink()
    (pack / "added.txt").touch()
    words = "missing, changed, or not in the manifest"
    assert verify(pack)[1].splitlines() == [f"added.txt: {words}", f"sessions.jsonl: {words}"]


def test_edited_entry_is_a_fault_of_the_pack_and_of_its_verification(
    acme: Tenant, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    act(acme)
    until = seal()
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'another' WHERE action = 'job.payload_revealed'")
    manifest = build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=until)
    assert manifest["faults"] == 1
    [faults] = [chain["faults"] for chain in lines(tmp_path / "pack", "chains") if chain["faults"]]
    assert [fault.partition(": ")[2] for fault in faults] == ["entry edited"]
    assert "it was changed" in verify(tmp_path / "pack")[1]


def test_pack_of_a_tenant_has_nothing_of_others(acme: Tenant, globex: Tenant, tmp_path: Path) -> None:
    add_member(tenant=globex, user=get_user_model().objects.create_user("eve"), role="owner")
    act(acme)
    act(globex)
    manifest = build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=seal(), tenant=acme)
    assert {row["seal"]["chain"] for row in lines(tmp_path / "pack", "audit_log")} == {str(acme.pk)}
    assert lines(tmp_path / "pack", "rights") == []
    assert manifest["chain"]["chain"] == str(acme.pk)
    assert not any(str(globex.pk).encode() in data for data in contents(tmp_path / "pack").values())
    assert verify(tmp_path / "pack")[0] == 0


def test_consecutive_packs_continue_the_chain(acme: Tenant, tmp_path: Path) -> None:
    act(acme)
    middle = seal()
    act(acme)
    end = seal()
    first = build_pack(tmp_path / "1", template=SOC2, since=LONG_AGO, until=middle, tenant=acme)["chain"]
    second = build_pack(tmp_path / "2", template=SOC2, since=middle, until=end, tenant=acme)["chain"]
    assert (second["first"], second["previous_hash"]) == (first["last"] + 1, first["hash"])


def test_entries_are_in_the_sections_of_their_actions(pack: Path, acme: Tenant) -> None:
    assert [row["entry"]["action"] for row in lines(pack, "reveals")] == ["job.payload_revealed"] * 3
    assert "tenant.paused" in {row["entry"]["action"] for row in lines(pack, "privileged_acts")}
    manifest = json.loads((pack / "manifest.json").read_text())["manifest"]
    assert {part["name"]: part["rows"] for part in manifest["sections"]}["reveals"] == 3


def test_page_escapes_values_and_has_no_script(pack: Path) -> None:
    page = (pack / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<script" not in page
    assert "CC6.1" in page


def test_rights_show_who_gave_them_and_when_they_ended(acme: Tenant, tmp_path: Path) -> None:
    bob = get_user_model().objects.create_user("bob")
    with acting_as(Actor(kind="user", id="7", label="alice")):
        add_member(tenant=acme, user=get_user_model().objects.create_user("ann"), role="owner")
        membership = add_member(tenant=acme, user=bob, role="viewer")
    with tenant_context(acme):
        remove_member(membership=membership)
    build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=seal(), tenant=acme)
    rights = lines(tmp_path / "pack", "rights")
    assert [(row["subject"], row["role"], row["given_by"], row["ended_at"] is None) for row in rights] == [
        ("ann", "owner", "alice", True), ("bob", "viewer", "alice", False),
    ]  # fmt: skip
    assert all(row["given_at"] and row["is_active"] is None for row in rights)


def test_review_has_rights_of_now_with_their_last_use(acme: Tenant) -> None:
    ann = get_user_model().objects.create_user("ann")
    add_member(tenant=acme, user=ann, role="owner")
    with tenant_context(acme), acting_as(Actor(kind="user", id=str(ann.pk), label="ann")):
        record_audit(action="job.noted", target=AuditTarget("scheduling.job", "1"), after={"n": 1})
    key = issue_api_key(tenant=acme, name="ci", scopes=[Permission.JOBS_VIEW]).key
    revoke_api_key(api_key=issue_api_key(tenant=acme, name="old", scopes=[Permission.JOBS_VIEW]).key)
    get_user_model().objects.update(is_active=False)
    rows = review_access(acme)
    assert [(row["kind"], row["subject"], row["role"], row["is_active"]) for row in rows] == [
        ("key", f"ci ({key.prefix})", "jobs.view", True), ("member", "ann", "owner", False),
    ]  # fmt: skip
    with all_tenants():
        assert rows[1]["last_act_at"] == AuditLogEntry.objects.get(action="job.noted").at


def test_period_in_the_future_or_reversed_is_refused(acme: Tenant, tmp_path: Path) -> None:
    now = read_moment()
    for since, until in ((now, now + timedelta(hours=1)), (now, LONG_AGO), (LONG_AGO, LONG_AGO)):
        with pytest.raises(EvidencePeriodError):
            build_pack(tmp_path / "pack", template=SOC2, since=since, until=until)
    assert list(tmp_path.iterdir()) == []


def test_period_with_unsealed_entries_is_refused(acme: Tenant, tmp_path: Path) -> None:
    seal()
    act(acme)
    with pytest.raises(EvidenceUnsealedError):
        build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=read_moment())
    assert list(tmp_path.iterdir()) == []


def test_used_folder_is_refused_and_stays(pack: Path) -> None:
    before = contents(pack)
    with pytest.raises(EvidenceFolderError):
        build_pack(pack, template=SOC2, since=LONG_AGO, until=read_moment())
    assert contents(pack) == before


def test_failed_build_leaves_nothing(acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError("no space left")

    act(acme)
    until = seal()
    monkeypatch.setattr(packs, "render_report", fail)
    with pytest.raises(EvidenceFolderError):
        build_pack(tmp_path / "pack", template=SOC2, since=LONG_AGO, until=until)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_command_refuses_a_period_without_data_unless_allowed(
    acme: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str
) -> None:
    arguments = [
        "compliance_report",
        "--template",
        template,
        "--from",
        "2019-01-01T00:00Z",
        "--to",
        "2019-02-01T00:00Z",
    ]
    arguments += ["--output", str(tmp_path / "pack"), "--json"]
    with pytest.raises(CommandError, match="evidence_empty"):
        call_command(*arguments)
    with pytest.raises(CommandError, match="evidence_empty"):
        call_command(*arguments, "--dry-run")
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()
    call_command(*arguments, "--allow-empty")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"]["audit_log"], facts["faults"]) == (0, 0)
    assert verify(tmp_path / "pack")[0] == 0


def test_every_statement_of_a_section_runs_in_both_scopes(acme: Tenant, tmp_path: Path) -> None:
    names = {section.name for section in SECTIONS}
    wanted = TEMPLATES["soc2"], TEMPLATES["iso27001"], TEMPLATES["gdpr"]
    assert {name for template in wanted for control in template.controls for name in control.sections} <= names
    until = seal()
    for place, tenant in enumerate((acme, None)):
        build_pack(
            tmp_path / str(place), template=SOC2, since=LONG_AGO, until=until, tenant=tenant, is_empty_allowed=True
        )
        shutil.rmtree(tmp_path / str(place))
