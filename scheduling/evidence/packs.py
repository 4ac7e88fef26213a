"""Builder of evidence packs: a folder of JSON lines, one printable page, and a signed manifest with their hashes.

A pack contains what was sealed in its period, so a closed period has the same bytes each time. Rows are streamed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from psycopg.rows import dict_row

from scheduling.evidence.controls import Template
from scheduling.evidence.exceptions import (
    EvidenceEmptyError,
    EvidenceFolderError,
    EvidenceKeyError,
    EvidencePeriodError,
    EvidenceUnsealedError,
)
from scheduling.evidence.report import render_report
from scheduling.evidence.sections import ALWAYS, AUDIT_LOG, CHAINS, SECTIONS, Section
from tenants.audit.chain import Link, canonical, chain_of, encode_row, moment_text, plain
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.signing import SigningKeyMissingError, require_signing_key, sign, signing_key_id
from tenants.audit.verification import chain_scope
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from tenants.models import Tenant

VERSION: Final = 1
PREFIX: Final = b"evidence pack\n"
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.html"
# A transaction that seals entries commits within two seconds of its time.
_SETTLED: Final = timedelta(seconds=10)
_SHOWN_ROWS: Final = 100
_MOST_FAULTS: Final = 20
_FETCHED_ROWS: Final = 5_000
_SQL = load_sql(__file__)


@dataclass(slots=True)
class Part:
    """A file of a pack that is being written: its size, hash, and first lines."""

    section: Section
    file: IO[bytes]
    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    shown: list[bytes] = field(default_factory=list)

    def write(self, line: bytes) -> None:
        """Append a line."""
        self.file.write(line)
        self.digest.update(line)
        self.rows, self.size = self.rows + 1, self.size + len(line)
        if self.rows <= _SHOWN_ROWS:
            self.shown.append(line)

    def facts(self) -> dict[str, Any]:
        """Return what the manifest has of the file."""
        facts = {"name": self.section.name, "title": self.section.title, "file": f"{self.section.name}.jsonl"}
        return {**facts, "rows": self.rows, "bytes": self.size, "sha256": self.digest.hexdigest()}


@dataclass(slots=True)
class ChainEnds:
    """The part of one chain that a pack contains: both ends, and the faults found in it."""

    chain: str
    first: int
    previous_hash: str
    last: int
    hash: str
    entries: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, row: Mapping[str, Any], entry: bytes, seal: bytes) -> None:
        """Check the next seal of the chain against its entry and the seal before it."""
        found = []
        if row["id"] is None:
            found.append("entry missing")
        elif hashlib.sha256(entry).hexdigest() != row["entry_hash"]:
            found.append("entry edited")
        if hashlib.sha256(seal).hexdigest() != row["hash"]:
            found.append("seal altered")
        if (row["sequence"], row["previous_hash"]) != (self.last + 1, self.hash):
            found.append("link broken")
        if found and len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{row['sequence']}: {', '.join(found)}")
        self.last, self.hash, self.entries = row["sequence"], row["hash"], self.entries + 1


def build_pack(
    folder: Path,
    *,
    template: Template,
    since: datetime,
    until: datetime,
    tenant: Tenant | None = None,
    is_empty_allowed: bool = False,
) -> dict[str, Any]:
    """Write the pack of a period, of a tenant or of the platform, into a new folder, and return its manifest.

    Raise EvidencePeriodError, EvidenceEmptyError, EvidenceUnsealedError, EvidenceFolderError or EvidenceKeyError; then
    nothing is left.
    """
    values = {"since": since, "until": until, "tenant": tenant and tenant.pk, "is_now": False}
    try:
        with chain_scope(tenant):
            check_pack(folder, since=since, until=until, tenant=tenant, is_empty_allowed=is_empty_allowed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".evidence-", dir=folder.parent))
            try:
                manifest = _write(scratch, template, values, tenant)
                scratch.chmod(0o750)
                scratch.replace(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            facts = {"template": template.name, "since": since, "until": until, "faults": manifest["faults"]}
            target = AuditTarget("scheduling.evidence", template.name, tenant_id=tenant.pk if tenant else None)
            record_audit(action="evidence.made", target=target, after=facts)
    except OSError as error:
        raise EvidenceFolderError(values={"folder": str(folder), "error": str(error)}) from error
    return manifest


def check_pack(
    folder: Path, *, since: datetime, until: datetime, tenant: Tenant | None, is_empty_allowed: bool
) -> None:
    """Raise the error with which `build_pack` would refuse the same arguments."""
    try:
        require_signing_key()
        if folder.exists() and any(folder.iterdir()):
            raise EvidenceFolderError(values={"folder": str(folder), "error": "not empty"})
    except (ImproperlyConfigured, SigningKeyMissingError) as error:
        raise EvidenceKeyError from error
    except OSError as error:
        raise EvidenceFolderError(values={"folder": str(folder), "error": str(error)}) from error
    check_period(since, until, tenant=tenant, is_empty_allowed=is_empty_allowed)


def check_period(since: datetime, until: datetime, *, tenant: Tenant | None, is_empty_allowed: bool) -> None:
    """Raise EvidencePeriodError, EvidenceUnsealedError or EvidenceEmptyError."""
    with chain_scope(tenant):
        values = {"since": since, "until": until, "tenant": tenant and tenant.pk}
        state = fetch_one(_SQL["read_state"], values, is_planned=True)
    if not since < until <= state.now - _SETTLED:
        raise EvidencePeriodError
    if state.waiting:
        raise EvidenceUnsealedError(values={"waiting": state.waiting})
    if not (state.has_entries or is_empty_allowed):
        raise EvidenceEmptyError


def stream_rows(statement: str, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a statement by a cursor of the server, some thousands at a time.

    While the caller takes them, a thread waits for the next ones, so that the server works at the same time.
    """
    with transaction.get_connection().chunked_cursor() as cursor, ThreadPoolExecutor(1, "evidence rows") as thread:
        cursor.cursor.row_factory = dict_row
        cursor.execute(statement, values)
        coming = thread.submit(cursor.cursor.fetchmany, _FETCHED_ROWS)
        while rows := coming.result():
            coming = thread.submit(cursor.cursor.fetchmany, _FETCHED_ROWS)
            yield from rows


def _write(folder: Path, template: Template, values: Mapping[str, Any], tenant: Tenant | None) -> dict[str, Any]:
    wanted = {*ALWAYS, *(name for control in template.controls for name in control.sections)}
    with ExitStack() as files:
        parts = [
            Part(section, files.enter_context((folder / f"{section.name}.jsonl").open("wb")))
            for section in SECTIONS
            if section.name in wanted
        ]
        chains = _write_entries(parts, values)
        for part in parts:
            if part.section.name == CHAINS:
                for chain in chains:
                    part.write(canonical(asdict(chain)) + b"\n")
            elif part.section.statement:
                for row in stream_rows(part.section.statement, values):
                    part.write(canonical({name: plain(value) for name, value in row.items()}) + b"\n")
    own = str(chain_of(tenant.pk if tenant else None))
    manifest: dict[str, Any] = {
        "version": VERSION,
        "template": template.name,
        "title": template.title,
        "scope": "platform" if tenant is None else f"tenant {tenant.slug} ({tenant.pk})",
        "since": moment_text(values["since"]),
        "until": moment_text(values["until"]),
        "controls": [asdict(control) for control in template.controls],
        "sections": [part.facts() for part in parts],
        "chain": next((asdict(chain) for chain in chains if chain.chain == own), None),
        "chains": len(chains),
        "faults": sum(len(chain.faults) for chain in chains),
    }
    page = render_report(manifest, {part.section.name: part.shown for part in parts}).encode()
    (folder / REPORT).write_bytes(page)
    manifest["report"] = {"file": REPORT, "sha256": hashlib.sha256(page).hexdigest()}
    document = {"manifest": manifest, "key_id": signing_key_id(), "signature": sign(PREFIX + canonical(manifest))}
    (folder / MANIFEST).write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True), "utf-8")
    return manifest


def _write_entries(parts: list[Part], values: Mapping[str, Any]) -> list[ChainEnds]:
    """Write each audit entry of the period to the sections that it belongs to, and return the ends of the chains."""
    chains: list[ChainEnds] = []

    @cache
    def parts_of(action: str | None, actor_kind: str | None) -> list[Part]:
        is_known = action is not None and actor_kind is not None
        return [
            part
            for part in parts
            if part.section.name == AUDIT_LOG or (is_known and part.section.has(str(action), str(actor_kind)))
        ]

    for row in stream_rows(_SQL["read_entries"], values):
        entry = b"null" if row["id"] is None else encode_row(row)
        names = ("chain", "sequence", "entry_hash", "previous_hash", "sealed_at")
        seal = Link(*(row[name] for name in names)).encode()
        if not chains or chains[-1].chain != row["chain"]:
            before = row["sequence"] - 1, row["previous_hash"]
            chains.append(ChainEnds(row["chain"], row["sequence"], row["previous_hash"], *before))
        chains[-1].take(row, entry, seal)
        line = b'{"entry":%b,"hash":%b,"seal":%b}\n' % (entry, encode_basestring(row["hash"]).encode(), seal)
        for part in parts_of(row["action"], row["actor_kind"]):
            part.write(line)
    return chains
