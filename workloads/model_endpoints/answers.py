"""Assembly of a model's answer from the events of a stream, or from one document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

MAX_ANSWER_CHARACTERS: Final = 1_000_000
MAX_TOOL_CALLS: Final = 128
# Estimate if the endpoint reports no tokens: about the ratio of English text.
CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model requests. ``arguments`` are parsed if they are JSON, else the text."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The answer of a model. If ``is_estimated``, the endpoint reported no token counts, and these are estimates."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def total_tokens(self) -> int:
        """Return the number of tokens of the prompt and the answer."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(slots=True)
class _CallParts:
    """A call of a tool, as far as it has arrived."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class AnswerReader:
    """An answer assembled from its parts. ``on_text`` is called with each part of its text, with secrets masked."""

    def __init__(
        self,
        model: str,
        prompt: Sequence[str],
        endpoint: EndpointName,
        *,
        on_text: Callable[[str], object],
        split: Callable[[str], tuple[str, str]],
        retry_after_seconds: float | None = None,
    ) -> None:
        self._prompt = prompt
        self._endpoint = endpoint
        self._on_text = on_text
        self._mask = endpoint.mask
        self._split = split
        self._retry_after_seconds = retry_after_seconds
        self._held = ""
        self._parts: list[str] = []
        self._calls: dict[int, _CallParts] = {}
        self._length = 0
        self._model = model
        self._finish_reason = ""
        self._usage: Mapping[str, Any] = {}
        self._is_ended = False

    def take_event(self, data: str) -> None:
        """Add one event of a stream."""
        if data == "[DONE]":
            self._is_ended = True
            return
        content = _read_json(data)
        if body_has_error(content):
            raise self._error(content)
        self._note(content)
        choice = self._choice(content)
        if choice is not None:
            self._take(choice, "delta")

    def take_whole(self, data: bytes) -> None:
        """Add an answer that arrived as one JSON document instead of a stream of events."""
        content = _read_json(data)
        if body_has_error(content):
            raise self._error(content)
        self._note(content)
        choice = self._choice(content)
        if choice is None or not isinstance(choice.get("message"), Mapping):
            raise _not_understood("its choices have no message")
        self._take(choice, "message")
        self._is_ended = True

    def conclude(self) -> ChatAnswer:
        """Return the whole answer; raise TransientError if it has no end."""
        if not self._is_ended and not self._finish_reason:
            raise TransientError("The model's answer was interrupted.", code="model_broke_off")
        text = self._mask("".join(self._parts))
        if self._held:
            self._on_text(self._held)
        prompt, completion = (_count(self._usage.get(f"{name}_tokens")) for name in ("prompt", "completion"))
        is_estimated = prompt is None or completion is None
        if prompt is None or completion is None:
            prompt = sum(map(_estimate, self._prompt))
            completion = _estimate(text) + sum(_estimate("".join(call.arguments)) for call in self._calls.values())
        return ChatAnswer(
            text=text,
            model=self._mask(self._model),
            finish_reason=self._mask(self._finish_reason or "stop"),
            prompt_tokens=prompt,
            completion_tokens=completion,
            is_estimated=is_estimated,
            tool_calls=tuple(self._read_call(self._calls[index]) for index in sorted(self._calls)),
        )

    def _choice(self, content: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the first choice; None if there is none, as in an event with token counts alone."""
        choices = content.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
            raise _not_understood("its choices are not a list of objects")
        choice = next((choice for choice in choices if choice.get("index") in (0, None)), None)
        if choice is not None and choice.get("error"):
            raise self._error(choice)
        return choice

    def _take(self, choice: Mapping[str, Any], name: str) -> None:
        part = choice.get(name) or {}
        if not isinstance(part, Mapping):
            raise _not_understood(f"the {name} of a choice is not an object")
        self._add_text(part.get("content") or "")
        calls = part.get("tool_calls") or []
        if not isinstance(calls, list):
            raise _not_understood("the tool calls are not a list")
        for number, call in enumerate(calls):
            self._add_call(number, call)
        reason = choice.get("finish_reason")
        self._finish_reason = reason if isinstance(reason, str) and reason else self._finish_reason

    def _error(self, content: Mapping[str, Any]) -> Exception:
        """Return the exception for an error in the answer; one after a part of the answer may pass."""
        error = error_of(self._endpoint, 200, content, retry_after_seconds=self._retry_after_seconds)
        if self._parts and isinstance(error, DependencyRefusedError):
            return TransientError(f"The model's answer was interrupted. {error}", code="model_broke_off")
        return error

    def _note(self, content: Mapping[str, Any]) -> None:
        if isinstance(content.get("usage"), Mapping):
            self._usage = content["usage"]
        if isinstance(content.get("model"), str):
            self._model = content["model"]

    def _add_text(self, text: Any) -> None:
        if not isinstance(text, str):
            raise _not_understood("the content of a choice is not a text")
        if not text:
            return
        self._grow(len(text))
        self._parts.append(text)
        shown, self._held = self._split(self._held + text)
        if shown:
            self._on_text(shown)

    def _add_call(self, number: int, call: Any) -> None:
        called = call.get("function") or {} if isinstance(call, Mapping) else None
        if not isinstance(called, Mapping):
            raise _not_understood("a tool call is not an object with a function")
        index = call.get("index", number)
        if not isinstance(index, int) or (index not in self._calls and len(self._calls) >= MAX_TOOL_CALLS):
            raise _not_understood(f"it has more than {MAX_TOOL_CALLS} tool calls, or one without a number")
        parts = self._calls.setdefault(index, _CallParts())
        texts = [call.get("id") or "", called.get("name") or "", called.get("arguments") or ""]
        # Some servers send the arguments as an object.
        texts[2] = json.dumps(texts[2]) if isinstance(texts[2], Mapping) else texts[2]
        if not all(isinstance(text, str) for text in texts):
            raise _not_understood("a tool call has an id, name or arguments of another type than text")
        self._grow(sum(map(len, texts)))
        parts.id, parts.name = parts.id or texts[0], parts.name or texts[1]
        parts.arguments.append(texts[2])

    def _grow(self, characters: int) -> None:
        self._length += characters
        if self._length > MAX_ANSWER_CHARACTERS:
            raise PermanentError(
                f"The model's answer has more than {MAX_ANSWER_CHARACTERS:,} characters.", code="model_answer_too_long"
            )

    def _read_call(self, parts: _CallParts) -> ToolCall:
        text = self._mask("".join(parts.arguments))
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError):
            arguments = text
        return ToolCall(self._mask(parts.id), self._mask(parts.name), arguments)


def _read_json(data: str | bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _not_understood("it is not JSON") from error
    if not isinstance(content, Mapping):
        raise _not_understood("it is not an object")
    return content


def _not_understood(reason: str) -> PermanentError:
    return PermanentError(f"The model endpoint returned an invalid response: {reason}.", code="model_answer_invalid")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _estimate(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
