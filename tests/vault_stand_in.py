"""A stand-in of Vault's transit engine: its HTTP contract for encrypt and decrypt, with one key in memory."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "of-the-test"


class VaultStandIn(ThreadingHTTPServer):
    """Server of ``/v1/transit/{encrypt,decrypt}/jobs``. ``status`` other than 200 is the answer to every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cipher = AESGCM(os.urandom(32))
        self.status = 200
        self.extra_bytes = 0
        self.requests = 0

    @property
    def master_key(self) -> str:
        """Return the text of ENCRYPTION_MASTER_KEYS for the key of this server."""
        return f"vault:http://127.0.0.1:{self.server_port}/v1/transit/jobs"


class _Handler(BaseHTTPRequestHandler):
    server: VaultStandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests += 1
        status, data = self._answer(body)
        answer = (
            json.dumps({"data": data} if status == 200 else {"errors": []}).encode() + b" " * self.server.extra_bytes
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if self.server.status != 200:
            return self.server.status, {}
        if self.headers["X-Vault-Token"] != TOKEN:
            return 403, {}
        associated = base64.b64decode(body["associated_data"])
        if self.path == "/v1/transit/encrypt/jobs":
            nonce = os.urandom(12)
            sealed = nonce + self.server.cipher.encrypt(nonce, base64.b64decode(body["plaintext"]), associated)
            return 200, {"ciphertext": f"vault:v1:{base64.b64encode(sealed).decode()}", "key_version": 1}
        if self.path != "/v1/transit/decrypt/jobs":
            return 404, {}
        try:
            sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"), validate=True)
            plain = self.server.cipher.decrypt(sealed[:12], sealed[12:], associated)
        except (ValueError, InvalidTag):
            return 400, {}
        return 200, {"plaintext": base64.b64encode(plain).decode()}

    def log_message(self, *args: object) -> None:
        """Write no line for a request."""


@contextmanager
def vault_stand_in() -> Iterator[VaultStandIn]:
    """Run the server in a thread."""
    with VaultStandIn() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
