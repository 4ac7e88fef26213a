"""Server on the loopback interface that stands in for a language model: OpenAI's chat API, which echoes its input.

With it the example workflows run without a model; if LLM_API_URL is set, that model is used instead.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jobsplatform.demo.processes import HOST

NAME = "stand-in"
MOST_CHARACTERS = 200
URL_VARIABLE, MODEL_VARIABLE = "LLM_API_URL", "LLM_MODEL"


@contextmanager
def some_model() -> Iterator[str]:
    """Provide a model during the block, that of the environment or else the stand-in; yield its name."""
    if os.environ.get(URL_VARIABLE):
        yield os.environ.get(MODEL_VARIABLE, "") or "the platform's model"
        return
    server = ThreadingHTTPServer((HOST, 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    os.environ |= {URL_VARIABLE: f"http://{HOST}:{server.server_address[1]}/v1", MODEL_VARIABLE: NAME}
    try:
        yield NAME
    finally:
        del os.environ[URL_VARIABLE], os.environ[MODEL_VARIABLE]
        server.shutdown()
        server.server_close()
        thread.join()


def answer_to(prompt: str) -> str:
    """Return the beginning of the prompt, without its markup, as the answer."""
    text = re.sub(r"^(Text \d+, in one sentence:|What do these say together\?|\[\d+\])\s*", "", prompt.strip())
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS].rsplit(" ", 1)[0] + " …"


class _Handler(BaseHTTPRequestHandler):
    """Handler of chat requests, which streams the answer."""

    def do_POST(self) -> None:
        """Stream the answer to a chat request."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        prompt = str(body["messages"][-1]["content"])
        text = answer_to(prompt)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number, word in enumerate(text.split(" ")):
            self._send({"choices": [{"index": 0, "delta": {"content": word if number == 0 else f" {word}"}}]})
        self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        self._send({"model": NAME, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, content: Mapping[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base names it
        """Do nothing instead of logging the request."""
