"""Endpoints of text recognition on loopback: docling-serve and Apache Tika. They record what they are sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Sent:
    """Recorded request."""

    method: str
    path: str
    content_type: str
    body: bytes


@dataclass
class OcrServer:
    """Recorded requests, and the texts of the next pages; ``status`` and ``body`` replace the answer if given."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None
    sent: list[Sent] = field(default_factory=list)

    def answer(self, sent: Sent) -> bytes:
        """Record a request and return the body of its answer."""
        self.sent.append(sent)
        if self.body is not None:
            return self.body
        text = self.texts.pop(0) if self.texts else ""
        if sent.path == "/tika":
            return text.encode()
        return json.dumps({"document": {"text_content": text}, "status": "success", "errors": []}).encode()


@contextmanager
def ocr_server(*texts: str) -> Iterator[OcrServer]:
    """Serve the texts of pages in this order until the block ends."""
    state = OcrServer(texts=list(texts))

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            body = state.answer(Sent(self.command, self.path, self.headers["Content-Type"], content))
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
