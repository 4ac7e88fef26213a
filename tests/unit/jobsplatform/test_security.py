"""Cookies, content security policy, and requests from other sites."""

import base64
import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client

from jobsplatform.settings.env import BASE_DIR


def test_scripts_are_allowed_from_this_site_only() -> None:
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert directives["script-src"] == ["'self'"]
    assert directives["object-src"] == ["'none'"]
    assert directives["frame-ancestors"] == ["'none'"]


def test_session_cookies_are_http_only() -> None:
    assert settings.SESSION_COOKIE_HTTPONLY is True
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"


def test_response_has_security_headers() -> None:
    response = Client().get("/health/live")
    assert response.status_code == 200
    assert "script-src 'self';" in response["Content-Security-Policy"] + ";"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"


def test_liveness_needs_no_database() -> None:
    assert Client().get("/health/live").json() == {"status": "alive"}


def test_liveness_refuses_post() -> None:
    assert Client(enforce_csrf_checks=False).post("/health/live").status_code == 405


PRODUCTION = {
    "SECRET_KEY": "".join(f"{number:x}k-" for number in range(40)),
    "ALLOWED_HOSTS": "jobs.example.org",
    "HTTPS_ONLY": "true",
    "AUDIT_SIGNING_KEY": base64.b64encode(bytes(range(32))).decode(),
    "ENCRYPTION_MASTER_KEYS": base64.b64encode(bytes(range(32))).decode(),
    "ALERT_HEARTBEAT_URL": "https://heartbeats.example.org/jobs",
    "DEBUG": "false",
    "DJANGO_SETTINGS_MODULE": "jobsplatform.settings",
}


def run_in_production(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **PRODUCTION}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_deployment_check_has_no_warnings_for_the_documented_environment() -> None:
    done = run_in_production("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_cookies_over_https_are_bound_to_the_host() -> None:
    names = [
        "SESSION_COOKIE_NAME",
        "CSRF_COOKIE_NAME",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SESSION_COOKIE_DOMAIN",
    ]
    source = (
        "import django, json; django.setup(); from django.conf import settings;"
        f"print(json.dumps([getattr(settings, name) for name in {names}] + [settings.SESSION_COOKIE_PATH]))"
    )
    done = run_in_production("-c", source)
    assert json.loads(done.stdout) == ["__Host-session", "__Host-csrf", True, True, None, "/"]
