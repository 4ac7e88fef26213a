"""Nodes of type `http_request`: they send a request by the outgoing HTTP client and fail on unexpected statuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError, TransientError
from scheduling.kit.http import Answer, Limits, open_pieces, read_target, send_async
from tenants.audit.service import mask_document
from tenants.secrets.references import SecretReference, split_references
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

MAX_BODY_BYTES = 1024 * 1024
MAX_HEADERS = 100
_READING = frozenset({"GET", "HEAD"})
# Client errors that may succeed later: Request Timeout, Too Early, Too Many Requests.
_HEALING_STATUSES = frozenset({408, 425, 429})


def prepare(place: NodeContext) -> PreparedNode:
    """Build the request now, and return the work that sends it. The node depends on the host of the URL."""
    config = place.config
    method = config.get("method", "GET")
    url = place.reading.render(config["url"]).strip()
    headers = {name: _pieces(place, text) for name, text in config.get("headers", {}).items()}
    body = _body(place, headers)
    if method not in _READING:
        # A server that supports it does the same work once, however often the request is repeated.
        headers.setdefault("Idempotency-Key", [place.idempotency_key])
    sent = [(name, open_pieces(place.job.tenant_id, url, pieces)) for name, pieces in headers.items()]
    limits = Limits(
        read_seconds=place.node.timeout_seconds,
        total_seconds=place.node.timeout_seconds,
        body_bytes=MAX_BODY_BYTES,
        redirects=config.get("redirects", 0),
    )

    async def call() -> NodeOutput:
        answer = await send_async(method, url, headers=sent, body=body, limits=limits)
        return _conclude(answer, config.get("expected_statuses"))

    masked = mask_document({name: "".join(map(str, pieces)) for name, pieces in headers.items()})
    shown = {"method": method, "url": url, "headers": masked, "body_bytes": len(body)}
    authority = read_target(url).authority[:MAX_DEPENDENCY_CHARACTERS]
    return PreparedNode(inputs=shown, later=call, dependency=Dependency(authority))


def _pieces(place: NodeContext, text: str) -> list[str | SecretReference]:
    """Return a header's text rendered piece by piece, so that no rendered value becomes a reference to a secret."""
    render = place.reading.render
    pieces = [render(piece) if isinstance(piece, str) else piece for piece in split_references(text)]
    for end, strip in ((0, str.lstrip), (-1, str.rstrip)):
        last = pieces[end]
        pieces[end] = strip(last) if isinstance(last, str) else last
    return pieces


def _body(place: NodeContext, headers: dict[str, list[str | SecretReference]]) -> bytes:
    if "json" in place.config:
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = ["application/json"]
        return json.dumps(place.reading.evaluate(place.config["json"]), ensure_ascii=False).encode()
    return place.reading.render(place.config["body"]).encode() if "body" in place.config else b""


def _conclude(answer: Answer, expected: list[int] | None) -> NodeOutput:
    """Return the outputs of an expected response; raise its error otherwise."""
    is_expected = answer.status in expected if expected else 200 <= answer.status < 300
    if not is_expected:
        message, code = f"{answer.url} answered with the status {answer.status}.", f"http_{answer.status}"
        if answer.status >= 500 or answer.status in _HEALING_STATUSES:
            raise TransientError(message, code=code, retry_after_seconds=answer.retry_after_seconds)
        raise PermanentError(message, code=code)
    if answer.is_cut:
        raise PermanentError(f"{answer.url} answered with more than {MAX_BODY_BYTES:,} bytes.", code="body_too_large")
    return NodeOutput(
        {
            "status": answer.status,
            "url": answer.url,
            "headers": mask_document(dict(answer.headers[:MAX_HEADERS])),
            **_content_of(answer),
        }
    )


def _content_of(answer: Answer) -> Mapping[str, Any]:
    """Return the body as text, and as JSON if it is JSON; None for bytes that are not text."""
    try:
        text = answer.body.decode("utf-8")
    except UnicodeDecodeError:
        return {"body": None, "json": None}
    if "\0" in text:
        return {"body": None, "json": None}
    try:
        content = json.loads(text) if "json" in answer.header("content-type") else None
    except (ValueError, RecursionError):
        content = None
    return {"body": text, "json": content}
