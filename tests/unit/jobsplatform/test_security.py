"""Cookies, content security, and what a stranger's browser may do."""

from django.conf import settings
from django.test import Client


def test_scripts_come_from_this_site_only() -> None:
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert directives["script-src"] == ["'self'"]
    assert directives["object-src"] == ["'none'"]
    assert directives["frame-ancestors"] == ["'none'"]


def test_cookies_of_sessions_are_out_of_reach_of_scripts() -> None:
    assert settings.SESSION_COOKIE_HTTPONLY is True
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"


def test_a_response_carries_the_policy_and_no_sniffing() -> None:
    response = Client().get("/health/live")
    assert response.status_code == 200
    assert "script-src 'self';" in response["Content-Security-Policy"] + ";"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"


def test_liveness_needs_no_server() -> None:
    assert Client().get("/health/live").json() == {"status": "alive"}


def test_liveness_answers_no_post() -> None:
    assert Client(enforce_csrf_checks=False).post("/health/live").status_code == 405
