"""Shell commands that sign a request to a trigger and send it."""

from __future__ import annotations

from typing import Final

_BEGIN: Final = "SECRET='whsec_…' BODY='{}'\n"
_STANDARD: Final = r"""ID=$(uuidgen) TIME=$(date +%s)
KEY=$(printf %s "${SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
SIGNATURE=$(printf '%s.%s.%s' "$ID" "$TIME" "$BODY" \
  | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | base64)
curl -X POST "$URL" -d "$BODY" -H 'Content-Type: application/json' \
  -H "Webhook-Id: $ID" -H "Webhook-Timestamp: $TIME" -H "Webhook-Signature: v1,$SIGNATURE"
"""
_GITHUB: Final = r"""SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
curl -X POST "$URL" -d "$BODY" -H 'Content-Type: application/json' \
  -H "X-Hub-Signature-256: sha256=$SIGNATURE"
"""


def shell_example(url: str, *, is_github: bool) -> str:
    """Return the commands for a trigger's address."""
    return f"{_BEGIN}URL='{url}'\n{_GITHUB if is_github else _STANDARD}"
