"""Master key in HashiCorp Vault, whose transit engine wraps data keys by plain HTTP."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from tenants.database.platform_settings import platform_settings
from tenants.encryption.envelope import MasterKeysInvalidError, SealBrokenError
from tenants.encryption.exceptions import KeyProviderUnavailableError, KeyRefusedError
from tenants.translation import gettext_noop

_SECONDS: Final = 2.0
_MAX_BYTES: Final = 16 * 1024
_MAX_TOKEN_BYTES: Final = 4_096
# A sealed or overloaded Vault answers these, and later others.
_AWAY: Final = frozenset({412, 429, 472, 473})


class VaultKey:
    """Key of the transit engine at ``URL/v1/MOUNT/KEY``, of a type that authenticates data, such as aes256-gcm96.

    The token is read at each call from the file ENCRYPTION_VAULT_TOKEN_FILE, so that an agent can renew it.
    """

    def __init__(self, reference: str) -> None:
        mount, _, name = reference.rpartition("/")
        if urlsplit(mount).scheme not in {"http", "https"} or "/v1/" not in mount or not name:
            raise MasterKeysInvalidError("vault: needs a URL such as https://vault.example:8200/v1/transit/jobs.")
        self._mount, self._name = mount, name

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return a data key encrypted by the service, in Vault's text form."""
        return str(self._call("encrypt", "ciphertext", associated, plaintext=_base64(secret))).encode()

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Return a data key decrypted by the service."""
        try:
            text = wrapped.decode("ascii")
            return base64.b64decode(str(self._call("decrypt", "plaintext", associated, ciphertext=text)), validate=True)
        except ValueError as error:
            raise SealBrokenError("Vault cannot decrypt the key.") from error

    def _call(self, action: str, wanted: str, associated: bytes, **values: str) -> Any:
        try:
            token = Path(platform_settings.ENCRYPTION_VAULT_TOKEN_FILE).read_bytes()[:_MAX_TOKEN_BYTES]
            status, answer = _post(
                f"{self._mount}/{action}/{self._name}",
                {**values, "associated_data": _base64(associated)},
                token.decode().strip(),
            )
        except (OSError, ValueError) as error:
            # Errors of requests are OSErrors.
            reason = type(error).__name__
            raise KeyProviderUnavailableError("Vault did not answer: %(reason)s.", {"reason": reason}) from error
        if status == 200 and isinstance(answer.get("data"), dict) and wanted in answer["data"]:
            return answer["data"][wanted]
        if status == 400 and action == "decrypt":
            raise SealBrokenError("Vault cannot decrypt the key.")
        is_refused = 400 <= status < 500 and status not in _AWAY
        kind = KeyRefusedError if is_refused else KeyProviderUnavailableError
        raise kind(gettext_noop("Vault answered %(status)s."), {"status": status})


def _post(url: str, body: dict[str, str], token: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of the answer; raise OSError or ValueError if it is none, too long or too late."""
    until = time.monotonic() + 2 * _SECONDS
    headers = {"X-Vault-Token": token}
    with requests.post(url, json=body, headers=headers, timeout=_SECONDS, allow_redirects=False, stream=True) as answer:
        data = b""
        for piece in answer.iter_content(1_024):
            data += piece
            if len(data) > _MAX_BYTES or time.monotonic() > until:
                raise ValueError("The answer is too long.")
        found = json.loads(data) if data else {}
    return answer.status_code, found if isinstance(found, dict) else {}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
