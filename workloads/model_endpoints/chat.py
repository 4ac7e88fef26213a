"""Chat with a model by `POST …/chat/completions`. The answer is read as a stream, and its tokens are counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from scheduling.kit.http import Limits, NoAnswerError, Stream, open_stream
from workloads.model_endpoints.endpoints import ModelEndpoint
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

# A model may think before its first word.
CHAT_LIMITS = Limits(connect_seconds=5.0, read_seconds=60.0, total_seconds=120.0, body_bytes=8 * 1024 * 1024)
MAX_ANSWER_CHARACTERS = 1_000_000
# Estimate if the endpoint reports no tokens: about the ratio of English text.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat request. ``options``, such as ``temperature`` and ``max_tokens``, are sent unchanged."""

    messages: Sequence[Mapping[str, str]]
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The answer of a model. If ``is_estimated``, the endpoint reported no token counts, and these are estimates."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool

    @property
    def total_tokens(self) -> int:
        """Return the number of tokens of the prompt and the answer."""
        return self.prompt_tokens + self.completion_tokens


async def chat(
    endpoint: ModelEndpoint,
    asked: Chat,
    *,
    limits: Limits = CHAT_LIMITS,
    on_text: Callable[[str], object] = lambda text: None,
) -> ChatAnswer:
    """Return a model's answer. ``on_text`` is called with each part as it arrives, with secrets masked.

    Raise `TransientError` for errors that may pass (429, 5xx, an answer that broke off), with the delay that the
    endpoint asks for; `DependencyRefusedError` if the endpoint refuses every request; `PermanentError` for the rest.
    """
    body = {
        **asked.options,
        "model": asked.model,
        "messages": [dict(message) for message in asked.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with open_stream(
        "POST",
        f"{endpoint.url}/chat/completions",
        headers=endpoint.headers,
        body=json.dumps(body).encode(),
        limits=limits,
        is_url_by_operator=endpoint.is_shared,
    ) as stream:
        key = endpoint.key if isinstance(endpoint.key, str) else ""
        name = EndpointName("model endpoint", "model", key, stream.mask.text)
        await _refuse_errors(stream, name)
        reading = _Reading(asked, on_text, name, stream.mask.split)
        if "event-stream" in stream.answer.header("content-type"):
            async for event in _events(stream):
                reading.take_event(event)
        else:
            # Some endpoints do not stream, whatever the request says.
            reading.take_whole((await stream.read()).body)
    return reading.conclude()


class _Reading:
    """An answer assembled from its parts."""

    def __init__(
        self,
        asked: Chat,
        on_text: Callable[[str], object],
        endpoint: EndpointName,
        split: Callable[[str], tuple[str, str]],
    ) -> None:
        self._asked = asked
        self._endpoint = endpoint
        self._on_text = on_text
        self._mask = endpoint.mask
        self._split = split
        self._held = ""
        self._parts: list[str] = []
        self._length = 0
        self._model = asked.model
        self._finish_reason = ""
        self._usage: Mapping[str, Any] = {}
        self._is_ended = False

    def take_event(self, data: str) -> None:
        """Add one event of a stream."""
        if data == "[DONE]":
            self._is_ended = True
            return
        content = _read_json(data)
        if isinstance(content.get("error"), Mapping):
            error = error_of(self._endpoint, 200, content)
            if self._parts and isinstance(error, DependencyRefusedError):
                raise TransientError(f"The model's answer was interrupted. {error}", code="model_broke_off")
            raise error
        self._note(content)
        for choice in content.get("choices") or ():
            self._add((choice.get("delta") or {}).get("content") or "")
            self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def take_whole(self, data: bytes) -> None:
        """Add an answer that arrived as one JSON document instead of a stream of events."""
        content = _read_json(data)
        if body_has_error(content):
            raise error_of(self._endpoint, 200, content)
        self._note(content)
        try:
            choice = content["choices"][0]
            self._add(choice["message"]["content"] or "")
        except (KeyError, IndexError, TypeError) as error:
            raise _not_understood() from error
        self._finish_reason = choice.get("finish_reason") or "stop"
        self._is_ended = True

    def conclude(self) -> ChatAnswer:
        """Return the whole answer; raise TransientError if it has no end."""
        if not self._is_ended and not self._finish_reason:
            raise TransientError("The model's answer was interrupted.", code="model_broke_off")
        text = self._mask("".join(self._parts))
        if self._held:
            self._on_text(self._held)
        prompt = self._usage.get("prompt_tokens")
        completion = self._usage.get("completion_tokens")
        is_counted = isinstance(prompt, int) and isinstance(completion, int)
        if not is_counted:
            prompt = sum(_estimate(message.get("content", "")) for message in self._asked.messages)
            completion = _estimate(text)
        return ChatAnswer(
            text=text,
            model=self._mask(self._model),
            finish_reason=self._mask(self._finish_reason or "stop"),
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            is_estimated=not is_counted,
        )

    def _note(self, content: Mapping[str, Any]) -> None:
        if isinstance(content.get("usage"), Mapping):
            self._usage = content["usage"]
        if isinstance(content.get("model"), str):
            self._model = content["model"]

    def _add(self, text: str) -> None:
        if not isinstance(text, str):
            raise _not_understood()
        if not text:
            return
        self._length += len(text)
        if self._length > MAX_ANSWER_CHARACTERS:
            raise PermanentError(
                f"The model's answer has more than {MAX_ANSWER_CHARACTERS:,} characters.", code="model_answer_too_long"
            )
        self._parts.append(text)
        shown, self._held = self._split(self._held + text)
        if shown:
            self._on_text(shown)


async def _refuse_errors(stream: Stream, endpoint: EndpointName) -> None:
    if stream.answer.status == 200:
        return
    try:
        answer = await stream.read()
    except NoAnswerError:
        answer = stream.answer
    raise error_of(endpoint, answer.status, answer.body, retry_after_seconds=answer.retry_after_seconds)


async def _events(stream: Stream) -> AsyncIterator[str]:
    """Yield the data of each server-sent event."""
    rest = b""
    async for part in stream.parts():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")
    if rest.startswith(b"data:"):
        yield rest[5:].strip().decode("utf-8", "replace")


def _read_json(data: str | bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _not_understood() from error
    if not isinstance(content, Mapping):
        raise _not_understood()
    return content


def _not_understood() -> PermanentError:
    return PermanentError("The model endpoint returned an invalid response.", code="model_answer_invalid")


def _estimate(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
