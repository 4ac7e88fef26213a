"""The service that writes audit entries: one for each change, in the same transaction as the change.

Many people read the entries, and no one can change them. So they contain no secret, no payload, and no value of
unbounded size. Secrets are recognised by the name of their field, and by their shape anywhere in a text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from psycopg.types.json import Jsonb

from tenants.context import current_actor, current_tenant_id
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant

MASK: Final = "[masked]"
CUT: Final = "[cut]"
# Bytes of JSON of one `before` or `after`: enough for every form of the console.
DOCUMENT_LIMIT: Final = 8 * 1024
_FIELD_LIMIT: Final = 2 * 1024
_DEPTH_LIMIT: Final = 12

# Compared with a name in lower case without its punctuation: `Set-Cookie` is `setcookie`.
_SECRET_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "apikey",
    "privatekey",
    "signingkey",
    "accesskey",
    "keyhash",
    "sessionkey",
    "sessionid",
)
_PAYLOAD_NAMES: Final = frozenset({"payload", "payloads", "result", "results"})
_SHAPES: Final = (
    # The platform's own keys.
    re.compile(r"jp[0-9a-f]{10}\.[A-Za-z0-9_-]{20,}"),
    re.compile(r"(?i)\b(?:bearer|basic|api-key)\s+[A-Za-z0-9._~+/=-]{8,}"),
    # A password in a URL.
    re.compile(r"(?<=://)[^\s/@:]*+:[^\s/@]++(?=@)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # A signed token, with what precedes it in the same run of characters: each run is scanned once.
    re.compile(
        r"(?<![A-Za-z0-9_-])(?:(?!eyJ)[A-Za-z0-9_-])*+eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"
    ),
)
# PostgreSQL stores neither in a text.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_INSERTED = (
    "id",
    "tenant_id",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "target_type",
    "target_id",
    "after",
    "reason",
    "request_id",
)
# Part of a statement, with the parameters of `entry_parameters`.
INSERT_ENTRY = f"""
    INSERT INTO tenants_auditlogentry ({", ".join(_INSERTED)})
    VALUES ({", ".join(f"%(entry_{name})s" for name in _INSERTED)})
"""  # noqa: S608 - names of columns


def mask_text(text: str) -> str:
    """Return the text with secrets masked. Characters that PostgreSQL cannot store are replaced by U+FFFD."""
    for shape in _SHAPES:
        text = shape.sub(MASK, text)
    return _UNSTORABLE.sub("\ufffd", text)


def mask_document(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a `before` or `after` document in its stored form: JSON values, masked and cut to DOCUMENT_LIMIT bytes."""
    if document is None:
        return None
    # Through JSON and back, so that exactly the stored form is masked, whatever the class.
    plain = json.loads(json.dumps(_with_text_keys(document), cls=DjangoJSONEncoder))
    masked: dict[str, Any] = _mask_value(plain, depth=0)
    encoded = _encode(masked)
    return masked if len(encoded) <= DOCUMENT_LIMIT else _cut(masked, encoded)


def _mask_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict | list) and depth >= _DEPTH_LIMIT:
        return CUT
    if isinstance(value, dict):
        return {mask_text(name): _mask_field(name, held, depth) for name, held in value.items()}
    if isinstance(value, list):
        return [_mask_value(held, depth + 1) for held in value]
    return value


def _mask_field(name: str, value: Any, depth: int) -> Any:
    # None, empty and boolean values reveal no secret and stay.
    if value is None or isinstance(value, bool) or value == "":
        return value
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    if bare in _PAYLOAD_NAMES or any(secret in bare for secret in _SECRET_NAMES):
        return MASK
    return _mask_value(value, depth + 1)


def _cut(masked: dict[str, Any], encoded: bytes) -> dict[str, Any]:
    """Return a too large document as its small fields, with the size and hash of the whole."""
    kept: dict[str, Any] = {}
    room = DOCUMENT_LIMIT // 2
    for name, value in masked.items():
        size = len(_encode({name: value}))
        if size <= min(room, _FIELD_LIMIT):
            kept[name] = value
            room -= size
    return {**kept, CUT: {"bytes": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}}


def _with_text_keys(value: Any) -> Any:
    # json.dumps would refuse a key such as a UUID.
    if isinstance(value, Mapping):
        return {str(name): _with_text_keys(held) for name, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_with_text_keys(held) for held in value]
    if isinstance(value, set | frozenset):
        return sorted(str(held) for held in value)
    if isinstance(value, bytes):
        return value.hex()
    # Also NaN and infinities, which JSON lacks, and floats that PostgreSQL would store with hundreds of digits.
    if isinstance(value, float) and value and not 1e-22 < abs(value) < 1e22:
        return str(value)
    return value


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


_is_part_of_act: ContextVar[bool] = ContextVar("audit_is_part_of_act", default=False)


@dataclass(frozen=True, slots=True)
class AuditTarget:
    """What an action was done to, if that is not a single model instance, such as the jobs of a filter or a file."""

    type: str
    id: str = ""
    tenant_id: UUID | None = None


@contextmanager
def suppress_nested_entries() -> Iterator[None]:
    """Suppress the audit entries of the block, because the caller writes one entry for the larger action around it."""
    token = _is_part_of_act.set(True)
    try:
        yield
    finally:
        _is_part_of_act.reset(token)


def record_audit(
    *,
    action: str,
    target: models.Model | AuditTarget,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> AuditLogEntry:
    """Insert an audit entry that the current actor did `action`, such as `tenant.suspended`, to `target`.

    Return the entry. Secrets and payloads are masked here, so that no caller can forget it. The entry gets its seal
    after the commit. Inside `suppress_nested_entries` the entry is returned unsaved.
    """
    described = target if isinstance(target, AuditTarget) else _describe(target)
    values = _values(action, described, before=before, after=after, reason=reason)
    entry = AuditLogEntry(tenant_id=described.tenant_id or current_tenant_id(), **values)
    if not _is_part_of_act.get():
        entry.save(force_insert=True)
    return entry


def record_audits(*, action: str, facts: Iterable[tuple[AuditTarget, Mapping[str, Any]]]) -> None:
    """Insert an audit entry for each target with its `after`, in one statement; see `record_audit`."""
    if not _is_part_of_act.get():
        rows = [
            AuditLogEntry(tenant_id=target.tenant_id or current_tenant_id(), **_values(action, target, after=after))
            for target, after in facts
        ]
        AuditLogEntry.objects.bulk_create(rows)


def entry_parameters(*, action: str, target: AuditTarget, after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters of `INSERT_ENTRY`, for a statement that writes the change and its audit entry together.

    Return None inside `suppress_nested_entries`, where no entry is to be written.
    """
    if _is_part_of_act.get():
        return None
    values = _values(action, target, after=after)
    values |= {"after": Jsonb(values["after"]), "id": uuid7(), "tenant_id": target.tenant_id or current_tenant_id()}
    return {f"entry_{name}": values[name] for name in _INSERTED}


def _values(
    action: str,
    target: AuditTarget,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> dict[str, Any]:
    actor = current_actor()
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id[:64],
        "actor_label": mask_text(actor.label)[:200],
        "request_id": actor.request_id[:64],
        "action": action,
        "target_type": target.type,
        "target_id": mask_text(target.id)[:64],
        "before": mask_document(before),
        "after": mask_document(after),
        "reason": mask_text(reason)[:500],
    }


def _describe(target: models.Model) -> AuditTarget:
    tenant_id = target.pk if isinstance(target, Tenant) else getattr(target, "tenant_id", None)
    # A proxy is another view of the same row.
    concrete = target._meta.concrete_model or type(target)
    return AuditTarget(type=concrete._meta.label_lower, id=str(target.pk), tenant_id=tenant_id)
