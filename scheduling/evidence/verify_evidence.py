"""Verify an evidence pack without the platform: `python verify_evidence.py FOLDER PUBLIC_KEY [EARLIER_KEY ...]`."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key


def encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def is_signed(keys: dict[str, Key], signature: str, key_id: str, message: bytes) -> bool:
    try:
        keys[key_id].verify(base64.b64decode(signature), message)
    except (KeyError, ValueError, InvalidSignature):
        return False
    return True


def verify_files(folder: Path, keys: dict[str, Key]) -> Iterator[str]:
    document = json.loads((folder / "manifest.json").read_bytes())
    manifest = document["manifest"]
    if not is_signed(keys, document["signature"], document["key_id"], b"evidence pack\n" + encode(manifest)):
        yield "manifest.json: its signature is not of a given key"
    files = {part["file"]: part["sha256"] for part in [*manifest["sections"], manifest["report"]]}
    found = {path.name: hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for path in folder.iterdir()}
    for name in sorted((files.keys() | found.keys()) - {"manifest.json"}):
        if files.get(name) != found.get(name):
            yield f"{name}: missing, changed, or not in the manifest"


def verify_chains(folder: Path, keys: dict[str, Key]) -> Iterator[str]:
    signed, before = {}, ("", 0, "")
    for head in map(json.loads, (folder / "heads.jsonl").open("rb")):
        signed[head["chain"], head["sequence"]] = head["hash"]
        if not is_signed(keys, head.pop("signature"), head["key_id"], encode({**head, "version": 1})):
            yield f"head {head['chain']} {head['sequence']}: its signature is not of a given key"
    for row in map(json.loads, (folder / "audit_log.jsonl").open("rb")):
        seal, place = row["seal"], (row["seal"]["chain"], row["seal"]["sequence"])
        hashes = [hashlib.sha256(encode(part)).hexdigest() for part in (row["entry"], seal)]
        if hashes != [seal["entry_hash"], row["hash"]] or signed.get(place, row["hash"]) != row["hash"]:
            yield f"entry {place}: it was changed, or differs from a signed head"
        if before[0] == place[0] and before != (place[0], place[1] - 1, seal["previous_hash"]):
            yield f"entry {place}: it does not follow the entry before it"
        before = (*place, row["hash"])


if __name__ == "__main__":
    given, *texts = sys.argv[1:] or sys.exit(__doc__)
    known = {hashlib.sha256(raw).hexdigest()[:16]: Key.from_public_bytes(raw) for raw in map(base64.b64decode, texts)}
    sys.exit("\n".join([*verify_files(Path(given), known)] or verify_chains(Path(given), known)) or 0)
