"""Outcomes of a job after an error response of a model endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

NAME = EndpointName("model endpoint", "model", "sk-very-secret-key-0123456789")


def error(status: int, **facts: Any) -> Exception:
    return error_of(NAME, status, json.dumps({"error": facts}).encode())


@pytest.mark.parametrize(
    ("status", "facts", "kind", "code"),
    [
        (401, {"message": "no"}, DependencyRefusedError, "dependency_refused"),
        (402, {}, DependencyRefusedError, "dependency_refused"),
        (403, {"message": "no"}, DependencyRefusedError, "dependency_refused"),
        (429, {"type": "insufficient_quota"}, DependencyRefusedError, "dependency_refused"),
        (200, {"code": 402, "message": "Insufficient credits"}, DependencyRefusedError, "dependency_refused"),
        (200, {"message": "something"}, DependencyRefusedError, "dependency_refused"),
        (200, {"code": "429"}, TransientError, "model_rate_limited"),
        (200, {"code": 502}, TransientError, "model_unavailable"),
        (200, {"code": 400, "message": "too long"}, PermanentError, "model_refused"),
        (200, {"type": "invalid_request_error"}, PermanentError, "model_refused"),
        (429, {}, TransientError, "model_rate_limited"),
        (500, {}, TransientError, "model_unavailable"),
        (404, {}, PermanentError, "model_refused"),
    ],
)
def test_error_is_rate_limited_transient_or_permanent(
    status: int, facts: Any, kind: type[Exception], code: str
) -> None:
    found = error(status, **facts)
    assert (type(found), found.code) == (kind, code)  # type: ignore[attr-defined]


def test_message_of_the_provider_is_shown_without_the_key() -> None:
    found = str(error(401, message=f"Incorrect API key provided: {NAME.key}."))
    assert found.startswith("The model endpoint answered 401: Incorrect API key provided: ")
    assert "very-secret" not in found
    assert len(str(error(401, message="x" * 10_000))) < 400


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"error": null}', b"[" * 100_000])
def test_body_without_error_document_is_reported_by_its_status(body: bytes) -> None:
    assert str(error_of(NAME, 503, body)) == "The model endpoint answered 503."


def test_error_as_text_is_shown() -> None:
    assert str(error_of(NAME, 200, {"error": "down"})) == "The model endpoint answered an error: down."
    assert body_has_error({"error": "down"})
    assert not body_has_error({"error": None, "data": []})
    assert not body_has_error([])
