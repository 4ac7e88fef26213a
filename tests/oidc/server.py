"""The OpenID Connect server as a process on loopback, installed by npm at its first use."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

SOURCE = Path(__file__).parent
FOLDER = Path(settings.BASE_DIR) / "var" / "oidc"
CLIENT_ID, CLIENT_SECRET = "jobs", "only for tests"
NEEDS_NPM = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed; it installs oidc-provider")
_ISSUER = re.compile(r"http://127\.0\.0\.1:\d+")


class OidcServer:
    """A running server; `person` chooses whom it logs in next."""

    def __init__(self, callback: str, port: int = 0) -> None:
        command = ["node", "provider.mjs", callback, str(port)]
        self._process = subprocess.Popen(command, cwd=_install(), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        printed = (_ISSUER.fullmatch(line.strip()) for line in self._process.stdout)
        found = next((match for match in printed if match), None)
        assert found is not None, "the OpenID Connect server did not start"
        self.issuer = found[0]

    def person(self, **claims: Any) -> None:
        """Log in a person with these claims from now on; without claims the sign-in is refused."""
        httpx.put(f"{self.issuer}/person", content=json.dumps(claims or None)).raise_for_status()

    def stop(self) -> None:
        """Stop the server."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def settings(self) -> dict[str, Any]:
        """Return the value of SOCIALACCOUNT_PROVIDERS for it."""
        app = {
            "provider_id": "oidc",
            "name": "Test login",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": self.issuer},
        }
        return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}


@contextmanager
def oidc_server(callback: str) -> Iterator[OidcServer]:
    """Run a server whose client is called back at this address."""
    server = OidcServer(callback)
    try:
        yield server
    finally:
        server.stop()


def _install() -> Path:
    """Install the pinned packages once; processes of parallel tests wait for each other."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock_file = SOURCE / "package-lock.json"
        # Written at the end, so that an interrupted installation is repeated.
        installed = FOLDER / "installed.json"
        if not installed.exists() or installed.read_bytes() != lock_file.read_bytes():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, FOLDER)
            subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)
            shutil.copy(lock_file, installed)
        shutil.copy(SOURCE / "provider.mjs", FOLDER)
    return FOLDER


def approve(url: str) -> str:
    """Follow a sign-in at the server as a browser does, and return the address that it sends the browser back to."""
    issuer = url.partition("/auth")[0]
    with httpx.Client() as browser:
        for _ in range(10):
            response = browser.get(url)
            assert response.is_redirect, response.text
            url = str(response.url.join(response.headers["location"]))
            if not url.startswith(issuer):
                return url
    raise AssertionError(f"too many redirects: {url}")
