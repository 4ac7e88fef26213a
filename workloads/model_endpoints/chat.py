"""Chat with a model by `POST …/chat/completions`. The answer is read as a stream, and its tokens are counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Limits, NoAnswerError, Stream, open_stream
from workloads.model_endpoints.answers import AnswerReader, ChatAnswer
from workloads.model_endpoints.endpoints import MODEL_LIMITS, ModelConfiguration
from workloads.model_endpoints.refusals import EndpointName, error_of

# Members of a request that no option replaces.
OWN_MEMBERS: Final = ("messages", "model", "stream", "stream_options")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat request. ``options``, such as ``temperature`` and ``max_tokens``, are sent unchanged.

    ``is_streamed``: the answer is requested as a stream. ``counts_stream``: the stream is requested to end with token
    counts, by ``stream_options``, which some endpoints refuse; providers send no counts of a stream without it.
    """

    messages: Sequence[Mapping[str, str]]
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_streamed: bool = True
    counts_stream: bool = True

    def body(self) -> dict[str, Any]:
        """Return the body of the request."""
        own: dict[str, Any] = {"model": self.model, "messages": [dict(message) for message in self.messages]}
        own["stream"] = self.is_streamed
        if self.is_streamed and self.counts_stream:
            own["stream_options"] = {"include_usage": True}
        return {**{name: value for name, value in self.options.items() if name not in OWN_MEMBERS}, **own}


async def chat(
    endpoint: ModelConfiguration,
    asked: Chat,
    *,
    limits: Limits = MODEL_LIMITS,
    on_text: Callable[[str], object] = lambda text: None,
) -> ChatAnswer:
    """Return a model's answer. ``on_text`` is called with each part as it arrives, with secrets masked.

    Raise `TransientError` for errors that may pass (429, 5xx, an answer that broke off), with the delay that the
    endpoint asks for; `DependencyRefusedError` if the endpoint refuses every request; `PermanentError` for the rest.
    """
    async with open_stream(
        "POST",
        f"{endpoint.url}/chat/completions",
        headers=endpoint.headers,
        body=json.dumps(asked.body()).encode(),
        limits=limits,
        is_url_by_operator=endpoint.is_shared,
    ) as stream:
        key = endpoint.key if isinstance(endpoint.key, str) else ""
        name = EndpointName("model endpoint", "model", key, stream.mask.text)
        await _refuse_errors(stream, name)
        prompt = [message.get("content", "") for message in asked.messages]
        wait = stream.answer.retry_after_seconds
        reader = AnswerReader(
            asked.model, prompt, name, on_text=on_text, split=stream.mask.split, retry_after_seconds=wait
        )
        if "event-stream" in stream.answer.header("content-type"):
            async for event in _events(stream):
                reader.take_event(event)
            _refuse_cut(stream, limits)
        else:
            # Some endpoints do not stream, whatever the request says.
            answer = await stream.read()
            _refuse_cut(stream, limits)
            reader.take_whole(answer.body)
    return reader.conclude()


async def _refuse_errors(stream: Stream, endpoint: EndpointName) -> None:
    if stream.answer.status == 200:
        return
    try:
        answer = await stream.read()
    except NoAnswerError:
        answer = stream.answer
    raise error_of(endpoint, answer.status, answer.body, retry_after_seconds=answer.retry_after_seconds)


def _refuse_cut(stream: Stream, limits: Limits) -> None:
    if stream.is_cut:
        raise PermanentError(
            f"The model's answer has more than {limits.body_bytes:,} bytes.", code="model_answer_too_long"
        )


async def _events(stream: Stream) -> AsyncIterator[str]:
    """Yield the data of each server-sent event."""
    rest = b""
    async for part in stream.parts():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")
    if rest.startswith(b"data:") and not stream.is_cut:
        yield rest[5:].strip().decode("utf-8", "replace")
