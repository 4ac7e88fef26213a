"""The hash chain of the audit log: the exact bytes that are hashed and signed. docs/concepts/audit.md specifies it.

The functions are pure; the sealer, the verifier and the check of an export all use them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Final, Literal
from uuid import UUID

# Entries that concern no tenant are in a chain of their own.
PLATFORM_CHAIN: Final = UUID(int=0)
# The previous hash of a chain's first seal.
GENESIS: Final = "0" * 64
VERSION: Final = 1

# Python refuses to parse longer numbers.
_MAX_DIGITS: Final = 4000
# Python refuses much deeper JSON, at a depth that differs between versions.
MAX_LEVELS: Final = 500

# `head`: the chain stood here. `checkpoint`: all before it was pruned. `final`: the whole chain was erased.
HeadKind = Literal["head", "checkpoint", "final"]
ENTRY_FIELDS: Final = (
    "id",
    "tenant",
    "at",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "target_type",
    "target_id",
    "before",
    "after",
    "reason",
    "request_id",
)


@dataclass(frozen=True, slots=True)
class Link:
    """One seal: the position of an audit entry in its chain, and the hash of the seal before it."""

    chain: UUID
    sequence: int
    entry_hash: str
    previous_hash: str
    sealed_at: datetime

    def encode(self) -> bytes:
        """Return the bytes that are hashed: the canonical JSON of the fields."""
        quote = encode_basestring
        return (
            f'{{"chain":{quote(str(self.chain))},"entry_hash":{quote(self.entry_hash)},'
            f'"previous_hash":{quote(self.previous_hash)},"sealed_at":"{moment_text(self.sealed_at)}",'
            f'"sequence":{self.sequence:d},"version":{VERSION}}}'
        ).encode()

    def hash(self) -> str:
        """Return the hash of this seal: the SHA-256 of its fields."""
        return hashlib.sha256(self.encode()).hexdigest()


def chain_of(tenant_id: UUID | None) -> UUID:
    """Return the id of the chain that holds the entries of a tenant; None selects the platform's chain."""
    return PLATFORM_CHAIN if tenant_id is None else tenant_id


def hash_entry(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an audit entry. `entry` maps each of ENTRY_FIELDS; `before` and `after` are parsed JSON."""
    return hashlib.sha256(_encode_entry(entry)).hexdigest()


def hash_row(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an audit entry read by SQL, whose `before` and `after` are JSON text."""
    return hashlib.sha256(encode_row(row)).hexdigest()


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Return the bytes that are hashed of an audit entry read by SQL, whose `before` and `after` are JSON text.

    They are those of `canonical`. Texts are quoted by themselves, which takes half the time of a whole encoding.
    """
    quote = encode_basestring
    before, after = (None if row[name] is None else read_json(row[name]) for name in ("before", "after"))
    middle = _ENCODER.encode({"after": after, "at": plain(row["at"]), "before": before})[1:-1]
    return (
        f'{{"action":{quote(row["action"])},"actor_id":{quote(row["actor_id"])},"actor_kind":{quote(row["actor_kind"])}'
        f',"actor_label":{quote(row["actor_label"])},{middle},"id":"{row["id"]}","reason":{quote(row["reason"])}'
        f',"request_id":{quote(row["request_id"])},"target_id":{quote(row["target_id"])}'
        f',"target_type":{quote(row["target_type"])},"tenant":{_quote_id(row["tenant"])}}}'
    ).encode()


def read_json(text: str) -> Any:
    """Return the parsed JSON, as it is hashed.

    JSON that Python cannot parse, because it is too deep, is returned as text: one such entry must not stop the sealer.
    """
    if text.count("[") + text.count("{") > MAX_LEVELS and _count_levels(text) > MAX_LEVELS:
        return text
    return _DECODER.decode(text)


def head_message(*, kind: str, chain: UUID, sequence: int, chain_hash: str, signed_at: datetime, key_id: str) -> bytes:
    """Return the bytes to sign for a chain head: the chain's position and hash, the time, and the signing key's id."""
    return canonical(
        {
            "chain": str(chain),
            "hash": chain_hash,
            "key_id": key_id,
            "kind": kind,
            "sequence": sequence,
            "signed_at": moment_text(signed_at),
            "version": VERSION,
        }
    )


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON encoding: sorted keys, no spaces, UTF-8."""
    return _ENCODER.encode(value).encode()


@lru_cache(maxsize=64)
def moment_text(moment: datetime) -> str:
    """Return a time in the form that is hashed: UTC with microseconds, `2026-01-31T08:00:00.000000Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _count_levels(text: str) -> int:
    level = deepest = 0
    is_string = is_escaped = False
    for character in text:
        if is_string:
            is_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_string = True
        elif character in "[{":
            level += 1
            deepest = max(deepest, level)
        elif character in "]}":
            level -= 1
    return deepest


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _fraction(digits: str) -> float | str:
    number = float(digits)
    return number if isfinite(number) else digits


def _quote_id(value: UUID | str | None) -> str:
    return "null" if value is None else f'"{value}"'


def plain(value: Any) -> Any:
    """Return a value as it is hashed: times and ids as text, others unchanged."""
    if isinstance(value, datetime):
        return moment_text(value)
    return str(value) if isinstance(value, UUID) else value


def _encode_entry(entry: Mapping[str, Any]) -> bytes:
    return canonical({name: plain(entry[name]) for name in ENTRY_FIELDS})


# `json.loads` and `json.dumps` would build them for each value.
_DECODER: Final = json.JSONDecoder(parse_int=_whole, parse_float=_fraction)
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
