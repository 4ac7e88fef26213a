"""A payload of each shipped kind that clients may submit."""

from __future__ import annotations

from typing import Any

_ID = "0199c0de-0000-7000-8000-000000000000"
PAYLOADS: dict[str, dict[str, Any]] = {
    "allocate": {"mebibytes": 1, "seconds": 0.5},
    "crash": {"times": 1},
    "document_indexing": {"document_id": _ID},
    "document_sync": {"source": _ID},
    "fail": {"how": "transient", "message": "one\ntwo", "times": 2},
    "http_call": {
        "url": "https://example.org/hook",
        "method": "PUT",
        "headers": {"X-One": "1", "X-Two": "2"},
        "json": {"a": [1, 2.5, None, True]},
        "timeout_seconds": 2.5,
        "expected_status": [200, 204],
        "idempotency_header": None,
    },
    "noop": {"any": ["thing"]},
    "noop_task": {},
    "rag_pipeline": {"run_id": _ID},
    "reconciliation": {
        "url": "https://pay.example.com/keys",
        "headers": {"X-One": "1"},
        "kind": "http_call",
        "since_hours": 12,
    },
    "send_mail": {"to": ["ada@example.com"], "subject": "one", "text": "one\ntwo"},
    "sleep": {"seconds": 0},
    "spin": {"seconds": 0.1, "lines": 3},
    "workflow_execution": {"workflow_id": _ID, "version": 2, "inputs": {"topic": "x"}},
}
