"""Summaries of payloads for readers without the right to see them: size, top-level keys, a fingerprint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.crypto import salted_hmac

from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError

MAX_KEYS = 20
MAX_KEY_CHARACTERS = 40
_FINGERPRINT_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Summary:
    """What may be shown of a payload or result to a reader who may not see it.

    Equal values have equal fingerprints. Fingerprints depend on a key of the platform, so that a guessed value cannot
    be compared with one.
    """

    size_bytes: int
    keys: tuple[str, ...]
    has_more_keys: bool
    fingerprint: str
    unreadable: str = ""


def summarize(value: Any) -> Summary:
    """Return the summary of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    keys = sorted(value) if isinstance(value, dict) else []
    return Summary(
        size_bytes=len(text.encode()),
        keys=tuple(str(key)[:MAX_KEY_CHARACTERS] for key in keys[:MAX_KEYS]),
        has_more_keys=len(keys) > MAX_KEYS,
        fingerprint=salted_hmac("scheduling.masking", text, algorithm="sha256").hexdigest()[:_FINGERPRINT_CHARACTERS],
    )


def summarize_stored(row: Model, name: str) -> Summary:
    """Return the summary of the field ``name`` of a row.

    If its value cannot be decrypted, the summary has the reason instead, so that the page can still be shown.
    """
    try:
        return summarize(getattr(row, name))
    except (DataKeyUnavailableError, SealedValueBrokenError) as error:
        return Summary(size_bytes=0, keys=(), has_more_keys=False, fingerprint="", unreadable=error.detail)
