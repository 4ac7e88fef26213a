"""Stored evidence packs: requested by people and by schedules, made by upkeep, and announced to contacts."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext

from scheduling.alerts.messages import absolute_url, send_notice
from scheduling.archive import store
from scheduling.configuration.service import Configured
from scheduling.evidence.controls import TEMPLATES
from scheduling.evidence.exceptions import EvidenceEmptyError, EvidenceNotStoredError, EvidenceStoreError
from scheduling.evidence.models import EvidencePack, EvidenceSchedule
from scheduling.evidence.packs import build_pack, check_period
from scheduling.evidence.rules import last_period
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from tenants.audit.chain import chain_of
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.tenancy.pausing import actor_words
from tenants.translation import LocalizableText

State = EvidencePack.State
# Entries from the end of a period are sealed by then.
_SETTLED: Final = timedelta(minutes=1)
_NO_PACK: Final = UUID(int=0)
# The earliest time of a ZIP archive: the same pack has the same bytes.
_ZIP_EPOCH: Final = datetime(1980, 1, 2, tzinfo=UTC).timestamp()


def check_request(pack: EvidencePack) -> None:
    """Queue the pack, or raise the error with which it could not be made; one that is stored is never changed."""
    if pack.state == State.STORED:
        raise FieldInvalidError.at("template", gettext("A stored pack is not changed: request another."))
    _require_store()
    check_period(pack.since, pack.until, tenant=pack.tenant, is_empty_allowed=pack.is_empty_allowed)
    pack.state, pack.requested_by = State.QUEUED, actor_words()


def check_schedule(schedule: EvidenceSchedule) -> None:
    """Raise EvidenceEmptyError if the last period has no data and that is not allowed, or EvidenceStoreError."""
    if schedule.is_enabled:
        _require_store()
        check_period(*_last_period(schedule), tenant=schedule.tenant, is_empty_allowed=schedule.is_empty_allowed)


@dataclass(frozen=True, slots=True)
class StoredPacks(Configured[EvidencePack]):
    """Packs, which are deleted with their object in the archive."""

    def delete(self, row: EvidencePack, *, reason: str = "") -> None:
        """Delete a pack; raise ArchiveUnavailableError."""
        Configured.delete(self, row, reason=reason)
        if row.key:
            store.delete(row.key)


PACKS = StoredPacks(EvidencePack, ("template", "since", "until", "is_empty_allowed"), check_request)
SCHEDULES = Configured(
    EvidenceSchedule, ("name", "template", "every", "group", "is_empty_allowed", "is_enabled"), check_schedule, most=20
)


def open_pack(pack: EvidencePack) -> IO[bytes]:
    """Record the download of a pack, and return its file; raise EvidenceNotStoredError or ArchiveUnavailableError."""
    if pack.state != State.STORED:
        raise EvidenceNotStoredError
    record_audit(action="evidence_pack.downloaded", target=pack, after={"sha256": pack.sha256})
    return store.open_file(pack.key)


def make_packs(budget: UpkeepBudget) -> UpkeepStep:
    """Request the packs that schedules are due for, and make the next requested one. The cursor is the last one."""
    after = UUID(str(budget.cursor.get("after", _NO_PACK)))
    with all_tenants():
        if not budget.cursor:
            _request_due()
        queued = EvidencePack.objects.select_related("tenant").filter(state=State.QUEUED, pk__gt=after)
        pack = queued.order_by("pk").first()
    if pack is None:
        return UpkeepStep({"packs": 0})
    error = _make(pack)
    text = LocalizableText("Evidence pack %(pack)s: %(error)s", {"pack": pack.pk, "error": error})
    findings = [text] if error else []
    return UpkeepStep({"packs": int(not error)}, has_more=True, cursor={"after": str(pack.pk)}, findings=findings)


def _require_store() -> None:
    if not store.is_archiving():
        raise EvidenceStoreError


def _last_period(schedule: EvidenceSchedule) -> tuple[datetime, datetime]:
    return last_period(3 if schedule.every == EvidenceSchedule.Every.QUARTER else 1, read_clock() - _SETTLED)


def _request_due() -> None:
    for schedule in EvidenceSchedule.objects.filter(is_enabled=True):
        since, until = _last_period(schedule)
        if schedule.last_since == since:
            continue
        wanted = {name: getattr(schedule, name) for name in ("tenant_id", "template", "is_empty_allowed")}
        wanted |= {"until": until, "requested_by": f"schedule:{schedule.name}"}
        with transaction.atomic():
            EvidenceSchedule.objects.filter(pk=schedule.pk).update(last_since=since)
            pack, is_new = EvidencePack.objects.get_or_create(schedule=schedule.pk, since=since, defaults=wanted)
            if is_new:
                record_audit(action="evidence_pack.created", target=pack, after={**wanted, "since": since})


def _make(pack: EvidencePack) -> str:
    """Make a pack and store it; return the error, or an empty text. A cause that may pass leaves it queued."""
    scope: dict[str, Any] = {"since": pack.since, "until": pack.until, "tenant": pack.tenant}
    key = f"{chain_of(pack.tenant_id)}/evidence/{pack.pk}.zip"
    try:
        # What a killed process has left is no pack.
        store.delete(key)
        with tempfile.TemporaryDirectory(prefix="evidence-") as scratch:
            folder = Path(scratch) / "pack"
            manifest = build_pack(
                folder, template=TEMPLATES[pack.template], is_empty_allowed=pack.is_empty_allowed, **scope
            )
            for path in folder.iterdir():
                os.utime(path, (_ZIP_EPOCH, _ZIP_EPOCH))
            whole = Path(shutil.make_archive(str(folder), "zip", folder))
            with whole.open("rb") as file:
                facts: dict[str, Any] = {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
            store.put_file(key, whole)
            facts |= {"key": key, "size_bytes": whole.stat().st_size, "faults": manifest["faults"]}
    except DomainError as error:
        is_final = isinstance(error, EvidenceEmptyError)
        _settle(pack, state=State.FAILED if is_final else State.QUEUED, error=str(error)[:500])
        return str(error)
    rows = {part["name"]: part["rows"] for part in manifest["sections"]}
    if not _settle(pack, state=State.STORED, error="", entries=rows["audit_log"], **facts):
        store.delete(key)
    return ""


def _settle(pack: EvidencePack, **columns: Any) -> bool:
    """Store the outcome, and send the link if it is final. Return whether the pack is still the same."""
    with all_tenants():
        same = {name: getattr(pack, name) for name in PACKS.fields}
        is_same = bool(EvidencePack.objects.filter(pk=pack.pk, **same).update(**columns))
        schedule = EvidenceSchedule.objects.filter(pk__in=[pack.schedule]).select_related("group").first()
        if schedule is None or not is_same or columns["state"] == State.QUEUED:
            return is_same
        url = absolute_url(reverse("admin:scheduling_evidencepack_change", args=[pack.pk]))
        facts = {"pack": pack, "url": url, "faults": columns.get("faults", 0), "error": columns["error"]}
        text = gettext("%(pack)s was made, with %(faults)s faults of the hash chains: %(url)s")
        if columns["error"]:
            text = gettext("%(pack)s could not be made: %(error)s %(url)s")
        contacts = list(schedule.group.contacts.filter(is_enabled=True))
        send_notice(tenant_id=pack.tenant_id, subject=str(pack), text=text % facts, contacts=contacts)
    return is_same
