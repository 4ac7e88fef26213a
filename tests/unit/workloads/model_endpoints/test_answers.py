"""Answers of providers that are errors, malformed, or more than text, from a server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from scheduling.kit.http import Limits
from tests.model_server import ModelServer, model_server
from workloads.model_endpoints.answers import MAX_TOOL_CALLS, ChatAnswer, ToolCall
from workloads.model_endpoints.chat import Chat, chat
from workloads.model_endpoints.endpoints import ModelConfiguration

MESSAGES = [{"role": "user", "content": "How are you?"}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def ask(server: ModelServer, asked: Chat | None = None) -> ChatAnswer:
    endpoint = ModelConfiguration(server.url, key="secret-key-of-the-operator", is_shared=True)
    return asyncio.run(chat(endpoint, asked or Chat(MESSAGES, "stub"), limits=Limits(total_seconds=20.0)))


def failure(server: ModelServer) -> Any:
    with pytest.raises((TransientError, PermanentError)) as caught:
        ask(server)
    return caught.value


REFUSED = (DependencyRefusedError, "dependency_refused")
LIMITED = (TransientError, "model_rate_limited")
DOWN = (TransientError, "model_unavailable")
WRONG = (PermanentError, "model_refused")
TOO_LONG = (PermanentError, "model_context_exceeded")
FILTERED = (PermanentError, "model_content_filtered")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"error": {"message": "No credits", "code": 402}}, REFUSED),
        (200, {"error": {"message": "Slow down", "code": 429}}, LIMITED),
        (200, {"error": {"message": "Upstream died", "code": 502}}, DOWN),
        (200, {"error": {"message": "Bad", "type": "invalid_request_error"}}, WRONG),
        (200, {"object": "error", "message": "Too much", "type": "overloaded"}, DOWN),
        (400, {"error": {"message": "Too long", "code": "context_length_exceeded"}}, TOO_LONG),
        (400, {"error": {"message": "No", "code": "content_filter"}}, FILTERED),
        (403, {"error": {"message": "No", "code": "content_policy_violation"}}, FILTERED),
        (400, {"error": {"message": "Bad key", "code": "invalid_api_key"}}, REFUSED),
        (400, {"error": {"message": "Hm", "type": "overloaded_error"}}, DOWN),
        (403, [{"error": {"message": "Hm", "status": "RESOURCE_EXHAUSTED"}}], REFUSED),
        (400, [{"error": {"message": "Hm", "status": "RESOURCE_EXHAUSTED"}}], LIMITED),
        (529, {"error": {"message": "Overloaded", "type": "overloaded_error"}}, DOWN),
        (422, {"detail": "stream_options is unknown"}, WRONG),
        (500, "out of memory", DOWN),
    ],
)
def test_error_keeps_the_providers_message_and_is_judged_by_it(
    server: ModelServer, status: int, body: Any, expected: tuple[type[Exception], str]
) -> None:
    server.answer_next(body, status=status, retry_after="7")
    error = failure(server)
    assert (type(error), error.code) == expected
    text = json.dumps(body)
    said = str(error).partition(": ")[2].rstrip(".")
    assert said
    assert said in text
    if isinstance(error, TransientError):
        assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-abc***9876. You can find your key at https://example.com.",
        "Incorrect API key provided: secret-key-of-the-operator.",
        "Incorrect API key provided: abcdefgh9876, try again",
        "The key gsk_abcdefgh9876 has expired",
    ],
)
def test_key_that_a_provider_quotes_is_masked(server: ModelServer, said: str) -> None:
    server.answer_next({"error": {"message": said}}, status=401)
    message = str(failure(server))
    assert "•••" in message
    assert not any(part in message for part in ("9876", "abc", "operator"))
    assert "key" in message


@pytest.mark.parametrize(
    "body",
    [
        {"choices": ["text"]},
        {"choices": {"message": "text"}},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": {"content": ["text"]}}]},
        {"choices": [{"message": {"tool_calls": {"name": "find"}}}]},
        {"choices": [{"message": {"tool_calls": ["find"]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": 1}}]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {}}] * (MAX_TOOL_CALLS + 1)}}]},
        {"choices": []},
        [],
        b"data: {\"choices\": [7]}\n\n",
        b"data: {\"choices\": [{\"delta\": []}]}\n\ndata: {\"choices\": [{\"delta\": 7}]}\n\n",
        b"data: no json\n\n",
    ],
)  # fmt: skip
def test_malformed_answer_is_a_named_error(server: ModelServer, body: Any) -> None:
    server.answer_next(body)
    error = failure(server)
    assert (type(error), error.code) == (PermanentError, "model_answer_invalid")


def event(content: str | None, finish: str | None = None) -> bytes:
    choice = {"delta": {"content": content}, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("body", "text", "finish"),
    [
        (event(None, "stop"), "", "stop"),
        (b": keep-alive\n\n" * 9 + event("a") + b": keep-alive\n\n" + event("b", "stop"), "ab", "stop"),
        (event("cut", "length") + b"data: [DONE]\n\n", "cut", "length"),
        (event("", "content_filter") + b"data: [DONE]\n\n", "", "content_filter"),
        (event("x" * 1_000) * 900 + event("", "stop"), "x" * 900_000, "stop"),
    ],
    ids=["empty", "keep-alive", "length", "content-filter", "900-kB"],
)
def test_stream_ends_with_its_text_and_reason(server: ModelServer, body: bytes, text: str, finish: str) -> None:
    server.answer_next(body)
    answer = ask(server)
    assert (answer.text, answer.finish_reason) == (text, finish)


@pytest.mark.parametrize(
    "body",
    [
        event("x" * 10_000) * 100 + event("x", "stop"),  # a million characters
        event("x") * 20_000,  # a megabyte
        {"choices": [{"message": {"content": "x" * 1_500_000}}]},
    ],
    ids=["characters", "bytes", "whole"],
)
def test_longer_answer_than_allowed_is_a_named_error(server: ModelServer, body: Any) -> None:
    server.answer_next(body)
    assert failure(server).code == "model_answer_too_long"


def test_error_within_a_stream_is_the_providers(server: ModelServer) -> None:
    server.answer_next(event("half") + b'data: {"error": {"message": "Upstream died", "code": 502}}\n\n')
    assert failure(server).code == "model_unavailable"


def test_error_in_a_choice_is_the_providers(server: ModelServer) -> None:
    server.answer_next({"choices": [{"error": {"code": 502, "message": "Upstream died"}, "message": {}}]})
    assert failure(server).code == "model_unavailable"


def test_tool_calls_are_assembled_from_a_stream(server: ModelServer) -> None:
    parts = [
        {"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"ci'}},
        {"index": 1, "id": "b", "function": {"name": "time", "arguments": "not json"}},
        {"index": 0, "function": {"arguments": 'ty": "Rome"}'}},
    ]
    events = [{"choices": [{"delta": {"tool_calls": [part]}}]} for part in parts]
    events.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    server.answer_next("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())
    tools = [{"type": "function", "function": {"name": "weather"}}]
    answer = ask(server, Chat(MESSAGES, "stub", {"tools": tools, "tool_choice": "auto"}))
    assert answer.tool_calls == (ToolCall("a", "weather", {"city": "Rome"}), ToolCall("b", "time", "not json"))
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")
    (asked,) = server.asked
    assert (asked.body["tools"], asked.body["tool_choice"]) == (tools, "auto")


def test_tool_calls_of_a_whole_answer_are_read(server: ModelServer) -> None:
    call = {"id": "a", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    server.answer_next({"choices": [{"message": {"content": None, "tool_calls": [call]}}]})
    assert ask(server).tool_calls == (ToolCall("a", "weather", {"city": "Rome"}),)


@pytest.mark.parametrize(
    ("is_streamed", "counts_stream", "stream", "options"),
    [(True, True, True, {"include_usage": True}), (True, False, True, None), (False, True, False, None)],
)
def test_stream_and_its_options_are_requested_as_asked(
    server: ModelServer, is_streamed: bool, counts_stream: bool, stream: bool, options: Any
) -> None:
    answer = ask(server, Chat(MESSAGES, "stub", {"seed": 7}, is_streamed, counts_stream))
    assert answer.text == "You said: How are you?"
    (asked,) = server.asked
    assert (asked.body["stream"], asked.body.get("stream_options"), asked.body["seed"]) == (stream, options, 7)


def test_option_replaces_no_member_of_the_request(server: ModelServer) -> None:
    ask(server, Chat(MESSAGES, "stub", {"model": "other", "messages": [], "stream": False, "max_completion_tokens": 9}))
    (asked,) = server.asked
    assert (asked.body["model"], asked.body["stream"], asked.body["messages"]) == ("stub", True, MESSAGES)
    assert asked.body["max_completion_tokens"] == 9


def test_only_the_first_choice_is_read(server: ModelServer) -> None:
    choices = [{"index": 1, "message": {"content": "second"}}, {"index": 0, "message": {"content": "first"}}]
    server.answer_next({"choices": choices})
    assert ask(server).text == "first"
