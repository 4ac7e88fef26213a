"""Rules of the outbox, without a database."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scheduling.kit.base import JobContext, Json, PermanentError, TaskProcessor
from scheduling.kit.testing import RecordingRuntime, try_processor
from scheduling.outbox.rules import DELAYS_SECONDS, MAX_ATTEMPTS, TOPIC_PATTERN, delay_seconds, lanes_of, matches_topic


@dataclass(frozen=True)
class Message:
    number: int
    key: str


@pytest.mark.parametrize(
    ("pattern", "topic", "is_match"),
    [
        ("order.paid", "order.paid", True),
        ("order.paid", "order.paid.twice", False),
        ("order.*", "order.paid", True),
        ("order.*", "orders.paid", False),
        ("order.*", "order", False),
        ("*", "anything.at_all", True),
    ],
)
def test_pattern_matches_a_topic_or_its_beginning(pattern: str, topic: str, is_match: bool) -> None:
    assert TOPIC_PATTERN.fullmatch(pattern)
    assert matches_topic(pattern, topic) is is_match


@pytest.mark.parametrize("pattern", ["", "Order", "order*", "*.paid", "a..*b", "order.*.x", "9", "o" * 65])
def test_other_patterns_are_refused(pattern: str) -> None:
    assert not TOPIC_PATTERN.fullmatch(pattern)


def test_delays_end_after_the_last_attempt_and_respect_the_receiver() -> None:
    assert [delay_seconds(attempt, None) for attempt in range(1, MAX_ATTEMPTS)] == list(DELAYS_SECONDS)
    assert delay_seconds(MAX_ATTEMPTS, 5.0) is None
    assert delay_seconds(1, 77.0) == 77.0
    assert delay_seconds(1, 10.0**9) == 86_400.0


def test_lanes_keep_the_order_of_each_key_and_separate_messages_without_one() -> None:
    messages = [Message(number, key) for number, key in enumerate(["a", "", "b", "a", "", "b", "a"])]
    lanes = [[message.number for message in lane] for lane in lanes_of(messages)]
    assert lanes == [[0, 3, 6], [1], [2, 5], [4]]


class Emits(TaskProcessor):
    kind = "emits"

    def process(self, context: JobContext) -> Json | None:
        context.emit(context.payload["topic"], context.payload["message"], key=context.payload.get("key", ""))
        return None


def test_runtime_of_tests_records_what_is_emitted() -> None:
    run = try_processor(Emits, {"topic": "order.paid", "message": {"order": 7}, "key": "7"})
    (emitted,) = run.runtime.emitted
    assert (emitted.topic, emitted.message, emitted.key) == ("order.paid", {"order": 7}, "7")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"topic": "Order", "message": {}}, "topic_invalid"),
        ({"topic": "", "message": {}}, "topic_invalid"),
        ({"topic": "order", "message": {}, "key": "k" * 201}, "message_key_invalid"),
        ({"topic": "order", "message": {"text": "x" * 65_536}}, "message_too_large"),
        ({"topic": "order", "message": {"text": "\0"}}, "message_invalid"),
    ],
)
def test_refused_message_has_a_named_error(payload: Json, code: str) -> None:
    error = try_processor(Emits, payload).error
    assert isinstance(error, PermanentError)
    assert error.code == code


def test_number_and_size_of_messages_are_bounded() -> None:
    runtime = RecordingRuntime()
    for number in range(1_000):
        runtime.emit("order", {"number": number}, "")
    with pytest.raises(PermanentError) as refused:
        runtime.emit("order", {}, "")
    assert refused.value.code == "too_many_messages"
    large = RecordingRuntime()
    with pytest.raises(PermanentError) as too_large:
        for _ in range(70):
            large.emit("order", {"text": "x" * 65_000}, "")
    assert too_large.value.code == "too_many_messages"
    assert len(large.emitted) == 64
