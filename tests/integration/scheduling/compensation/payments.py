"""A payment service on loopback that recognises repeats by `Idempotency-Key` and `Webhook-Id`."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DECLINED = "declined"


@dataclass
class Payments:
    """Charges by order, with the keys that they were made under, and the keys that were refunded."""

    port: int = 0
    charges: dict[str, set[str]] = field(default_factory=dict)
    order_of: dict[str, str] = field(default_factory=dict)
    refunded: set[str] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, key: str, body: Any) -> tuple[int, Any]:
        """Apply a request; a repeated one changes nothing and has the same answer."""
        with self.guard:
            self.requests[path] += 1
            if path == "/refunds":
                # A key without a charge is remembered, so that a late charge is refused.
                self.refunded.add(body["job"])
                return 200, {"refunded": body["job"]}
            if path == "/keys":
                items = [{"key": k, "state": "undone" if k in self.refunded else "done"} for k in self.order_of]
                return 200, {"items": items, "next": None}
            order = body["data"]["order"] if path == "/hook" else body["order"]
            if key in self.refunded:
                return 409, {"error": "refunded"}
            if order.startswith(DECLINED):
                return 402, {"error": DECLINED}
            self.charges.setdefault(order, set()).add(key)
            self.order_of[key] = order
            return 200, {"charge": key}

    @property
    def double_charged(self) -> list[str]:
        """Return the orders that were charged under more than one key."""
        return [order for order, keys in self.charges.items() if len(keys) > 1]

    def charged(self, prefix: str) -> set[str]:
        """Return the orders with this prefix that are charged and not refunded."""
        return {
            order
            for order, keys in self.charges.items()
            if order.startswith(prefix) and any(key not in self.refunded for key in keys)
        }


@contextmanager
def payment_service() -> Iterator[Payments]:
    """Run the service on a free port."""
    payments = Payments()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            key = self.headers.get("Idempotency-Key") or self.headers.get("Webhook-Id") or ""
            status, content = payments.answer(self.path, key, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    for method in ("GET", "POST"):
        setattr(Handler, f"do_{method}", Handler.respond)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        listening.handle_error = lambda *_: None  # type: ignore[method-assign]
        payments.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield payments
        finally:
            listening.shutdown()
            thread.join()
