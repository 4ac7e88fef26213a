"""A model endpoint on loopback that answers each chat completion after 20 s: `python -m benchmarks.slow_model`.

It prints its port, and serves any number of requests at once in one event loop, each on a connection of its own.
"""

from __future__ import annotations

import asyncio
import json

ANSWER_SECONDS = 20.0
BACKLOG = 1_024
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}
_USAGE = {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}
_BODY = json.dumps({"id": "slow", "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode()
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(ANSWER_SECONDS)
        writer.write(_HEAD.format(len(_BODY)).encode() + _BODY)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        # The client has gone.
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
