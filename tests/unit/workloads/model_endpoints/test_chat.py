"""Chat with a model on loopback: streaming, token counts, and every kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from scheduling.kit.base import Dependency, DependencyRefusedError, PermanentError, TransientError
from scheduling.kit.http import AddressRefusedError, Limits, NoAnswerError
from tests.model_server import ModelServer, model_server
from workloads.model_endpoints.chat import Chat, ChatAnswer, chat
from workloads.model_endpoints.endpoints import ModelConfiguration, platform_model


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def ask(
    server: ModelServer, text: str = "How are you?", *, received: list[str] | None = None, **limits: float
) -> ChatAnswer:
    endpoint = ModelConfiguration(server.url, key="secret", is_shared=True)
    asked = Chat([{"role": "user", "content": text}], "stub", {"temperature": 0})
    on_text = received.append if received is not None else lambda part: None
    return asyncio.run(chat(endpoint, asked, limits=Limits(**{"total_seconds": 20.0, **limits}), on_text=on_text))


def test_streamed_answer_is_read_and_its_tokens_are_counted(server: ModelServer) -> None:
    received: list[str] = []
    answer = ask(server, received=received)
    assert answer == ChatAnswer("You said: How are you?", "stub", "stop", 3, 5, is_estimated=False)
    assert received == ["You", " said:", " How", " are", " you?"]
    (asked,) = server.asked
    assert asked.headers["Authorization"] == "Bearer secret"
    assert (asked.body["temperature"], asked.body["stream"]) == (0, True)


def test_answer_without_streaming_is_read_whole(server: ModelServer) -> None:
    server.streams = False
    assert ask(server).text == "You said: How are you?"


def test_tokens_without_count_are_estimated(server: ModelServer) -> None:
    server.counts_tokens = False
    answer = ask(server)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.is_estimated) == (3, 6, True)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (429, TransientError, "model_rate_limited"),
        (500, TransientError, "model_unavailable"),
        (503, TransientError, "model_unavailable"),
        (408, TransientError, "model_unavailable"),
        (400, PermanentError, "model_refused"),
        (401, DependencyRefusedError, "dependency_refused"),
        (404, PermanentError, "model_refused"),
    ],
)
def test_status_decides_between_transient_and_permanent_error(
    server: ModelServer, status: int, error: type[Exception], code: str
) -> None:
    server.fail_next(status, retry_after="7")
    with pytest.raises(error, match="as configured") as caught:
        ask(server)
    assert caught.value.code == code
    if isinstance(caught.value, TransientError):
        assert caught.value.retry_after_seconds == 7


def test_interrupted_answer_is_a_transient_error(server: ModelServer) -> None:
    server.breaks_after_parts = 2
    with pytest.raises(TransientError) as caught:
        ask(server)
    assert caught.value.code == "model_broke_off"


def test_slow_endpoint_times_out(server: ModelServer) -> None:
    server.delay_seconds = 5
    with pytest.raises(NoAnswerError) as caught:
        ask(server, read_seconds=0.2)
    assert caught.value.code == "timed_out"


def test_invalid_answer_is_a_permanent_error(server: ModelServer) -> None:
    server.streams = False
    server.reply = lambda body: ["no text"]  # type: ignore[return-value]
    server.counts_tokens = False
    with pytest.raises(PermanentError) as caught:
        ask(server)
    assert caught.value.code == "model_answer_invalid"


def test_internal_address_of_tenant_endpoint_is_refused(server: ModelServer) -> None:
    with pytest.raises(AddressRefusedError):
        asyncio.run(chat(ModelConfiguration(server.url), Chat([{"role": "user", "content": "?"}], "stub")))
    assert server.asked == []


def test_platform_model_is_the_named_one_or_the_operators(change_platform_settings: Any) -> None:
    change_platform_settings(LLM_API_URL="http://llm.internal:8000/v1/", LLM_API_KEY="key", LLM_MODEL="small")
    shared = platform_model()
    assert (shared.url, shared.model, shared.dependency, shared.endpoint) == (
        "http://llm.internal:8000/v1",
        "small",
        Dependency("llm", is_shared=True),
        "platform",
    )
    assert (platform_model("large").model, platform_model("large", is_strict=False).model) == ("large", "small")


@pytest.mark.parametrize("changes", [{"LLM_API_URL": ""}, {"LLM_API_URL": "http://llm.internal", "LLM_MODEL": ""}])
def test_platform_model_without_url_or_name_is_an_error(change_platform_settings: Any, changes: Any) -> None:
    change_platform_settings(**changes)
    with pytest.raises(PermanentError) as caught:
        platform_model()
    assert caught.value.code == "no_model"


def test_model_of_a_tenant_has_its_own_breaker_and_key() -> None:
    own = ModelConfiguration("https://api.example.com/v1", "large", "mine", "acme_ai")
    assert (own.dependency, own.headers[1]) == (Dependency("acme_ai/large"), ("Authorization", "Bearer mine"))


@pytest.mark.parametrize(
    ("prices", "cost"), [((None, None), None), (("2", "8"), "0.0036"), (("2", None), "0.002"), (("0", None), "0")]
)
def test_cost_of_tokens_follows_the_prices(prices: tuple[str | None, ...], cost: str | None) -> None:
    given = [None if price is None else Decimal(price) for price in prices]
    model = ModelConfiguration("https://api.example.com", input_price=given[0], output_price=given[1])
    assert model.cost(1_000, 200) == (None if cost is None else Decimal(cost))
