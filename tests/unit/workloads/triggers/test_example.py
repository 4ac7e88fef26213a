"""The shell commands of a trigger's page sign a request as the platform verifies it."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess

import pytest

from tenants.secrets.signing import is_signed, new_secret
from workloads.triggers.example import shell_example

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the commands need openssl")


def run(is_github: bool, secret: str) -> list[str]:
    """Return the arguments that curl gets."""
    commands = shell_example("https://jobs.example/api/", is_github=is_github).replace("whsec_…", secret)
    stand_ins = "curl() { printf '%s\\n' \"$@\"; }; uuidgen() { echo id-1; }\n"
    done = subprocess.run(["bash", "-c", stand_ins + commands], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_commands_make_a_standard_signature() -> None:
    secret = new_secret()
    arguments = run(False, secret)
    headers = dict(one.split(": ") for one in arguments if ": " in one)
    assert arguments[:3] == ["-X", "POST", "https://jobs.example/api/"]
    assert is_signed(
        [new_secret(), secret],
        headers["Webhook-Signature"],
        message_id=headers["Webhook-Id"],
        timestamp=int(headers["Webhook-Timestamp"]),
        body=b"{}",
    )


def test_commands_make_a_signature_as_github_does() -> None:
    secret = new_secret()
    digest = hmac.new(secret.encode(), b"{}", hashlib.sha256).hexdigest()
    assert f"X-Hub-Signature-256: sha256={digest}" in run(True, secret)
