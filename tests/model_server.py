"""Model endpoint on loopback with OpenAI's API: chat with and without streaming, and embeddings; and re-ranking.

Its answers are configurable, it records requests, and it can fail, delay and limit its rate. `python -m
tests.model_server PORT` runs one as a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSIONS = 512
type Reply = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Asked:
    """Recorded request."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class Failure:
    """Failure of the next requests."""

    status: int
    times: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"error": {"message": "as configured"}})


def echo(body: Mapping[str, Any]) -> str:
    """Return the last message of the chat."""
    return f"You said: {body['messages'][-1]['content']}"


@dataclass
class ModelServer:
    """Recorded requests and configuration of an endpoint: every attribute may change while it serves.

    ``delay_seconds`` pass before each answer, ``part_delay_seconds`` before each part of a stream. Requests above
    ``most_requests`` get 429. ``breaks_after_parts`` aborts each stream after this many parts; ``counts_tokens`` False
    omits the usage, ``streams`` False answers a streaming request in one piece. Chats whose last message is one of
    ``refused`` get 404.
    """

    port: int = 0
    reply: Reply = echo
    delay_seconds: float = 0.0
    part_delay_seconds: float = 0.0
    most_requests: int | None = None
    breaks_after_parts: int | None = None
    counts_tokens: bool = True
    streams: bool = True
    refused: tuple[str, ...] = ()
    asked: list[Asked] = field(default_factory=list)
    _failures: list[Failure] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Return the base URL for clients of this API."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def host(self) -> str:
        """Return the host in the format of OUTGOING_HTTP_ALLOWED_HOSTS."""
        return f"127.0.0.1:{self.port}"

    @property
    def prompts(self) -> list[str]:
        """Return the last message of each requested chat."""
        with self._guard:
            return [one.body["messages"][-1]["content"] for one in self.asked if one.path.endswith("/chat/completions")]

    def fail_next(self, status: int, *, times: int = 1, **headers: str) -> None:
        """Fail the next ``times`` requests with this status; `retry_after="7"` sets a header Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self._guard:
            self._failures.append(Failure(status, times, named))

    def answer_next(self, body: Any, *, status: int = 200, times: int = 1, **headers: str) -> None:
        """Answer the next ``times`` requests with this body: JSON, or bytes of an event stream."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self._guard:
            self._failures.append(Failure(status, times, named, body))

    def take(self, asked: Asked) -> Failure | None:
        """Record a request; return its failure, or None."""
        with self._guard:
            self.asked.append(asked)
            if self.most_requests is not None and len(self.asked) > self.most_requests:
                return Failure(429, 1, {"retry-after": "1"})
            if self.refused and asked.body["messages"][-1]["content"] in self.refused:
                return Failure(404, 1)
            if not self._failures:
                return None
            failure = self._failures[0]
            failure.times -= 1
            if not failure.times:
                self._failures.pop(0)
            return failure


@contextmanager
def model_server(**behaviour: Any) -> Iterator[ModelServer]:
    """Run an endpoint on a free port."""
    server = ModelServer(**behaviour)
    listening = _listen(server, server.port)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def embed_text(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return a vector of length 1 that is constant for a text, and near for texts with common words."""
    vector = np.zeros(dimensions)
    for word in text.lower().split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        vector += np.random.default_rng(seed).standard_normal(dimensions)
    return [float(number) for number in vector / np.linalg.norm(vector)]


def count_tokens(text: str) -> int:
    """Return the number of words."""
    return len(text.split())


def _listen(server: ModelServer, port: int) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"model": server})
    listening = ThreadingHTTPServer(("127.0.0.1", port), handler)
    listening.daemon_threads = True
    server.port = listening.server_address[1]
    return listening


class _Handler(BaseHTTPRequestHandler):
    model: ModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        data = self.rfile.read(length)
        if len(data) < length:
            self.close_connection = True  # the client disconnected in the middle of its request
            return
        body = json.loads(data or b"{}")
        failure = self.model.take(Asked(self.path, dict(self.headers), body))
        if self.model.delay_seconds:
            time.sleep(self.model.delay_seconds)
        if failure is not None:
            self._answer(failure.status, failure.body, failure.headers)
        elif self.path.endswith("/embeddings"):
            self._answer(200, self._embeddings(body))
        elif self.path.endswith("/rerank"):
            self._answer(200, self._rerank(body))
        elif not self.path.endswith("/chat/completions"):
            self._answer(404, {"error": {"message": "no such path"}})
        elif body.get("stream") and self.model.streams:
            self._stream(body)
        else:
            text = self.model.reply(body)
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._answer(200, {"model": body["model"], "choices": [choice], **self._usage(body, text)})

    def _stream(self, body: Mapping[str, Any]) -> None:
        text = self.model.reply(body)
        parts = [word if n == 0 else f" {word}" for n, word in enumerate(text.split(" "))]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, part in enumerate(parts):
            if self.model.breaks_after_parts is not None and number >= self.model.breaks_after_parts:
                return
            if self.model.part_delay_seconds:
                time.sleep(self.model.part_delay_seconds)
            self._event({"model": body["model"], "choices": [{"index": 0, "delta": {"content": part}}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (body.get("stream_options") or {}).get("include_usage") and self.model.counts_tokens:
            self._event({"choices": [], **self._usage(body, text)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, content: Mapping[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def _usage(self, body: Mapping[str, Any], text: str) -> dict[str, Any]:
        if not self.model.counts_tokens:
            return {}
        prompt = sum(count_tokens(message["content"]) for message in body["messages"])
        return {"usage": {"prompt_tokens": prompt, "completion_tokens": count_tokens(text)}}

    def _embeddings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        size = body.get("dimensions", DIMENSIONS)
        rows = [{"index": number, "embedding": embed_text(text, size)} for number, text in enumerate(texts)]
        used = sum(count_tokens(text) for text in texts)
        return {"model": body["model"], "data": rows, "usage": {"prompt_tokens": used, "total_tokens": used}}

    def _rerank(self, body: Mapping[str, Any]) -> Any:
        """Return the number of shared words as scores: as Text Embeddings Inference, or for `documents` as Cohere."""
        asked = set(body["query"].split())
        texts = body["texts"] if "texts" in body else body["documents"]
        name = "score" if "texts" in body else "relevance_score"
        rows = [{"index": number, name: len(asked & set(text.split()))} for number, text in enumerate(texts)]
        rows.sort(key=lambda row: -row[name])
        return rows if "texts" in body else {"results": rows[: body["top_n"]]}

    def _answer(self, status: int, content: Any, headers: Mapping[str, str] = {}) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "text/event-stream" if isinstance(content, bytes) else "application/json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base names it
        """Log nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # tests disconnect clients on purpose
            self.close_connection = True


if __name__ == "__main__":
    listening = _listen(ModelServer(), int(sys.argv[1]))
    sys.stdout.write(f"http://127.0.0.1:{listening.server_address[1]}/v1\n")
    sys.stdout.flush()
    listening.serve_forever()
