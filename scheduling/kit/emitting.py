"""Messages that jobs emit, as they are checked before they are kept; the runtimes of workers and of tests use it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from scheduling.kit.base import Json, PermanentError

# Of one message as JSON, and of the messages between two commits of an execution.
MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_MESSAGES: Final = 1_000
MAX_TOTAL_BYTES: Final = 4 * 1024 * 1024
MAX_TOPIC_CHARACTERS: Final = 64
MAX_MESSAGE_KEY_CHARACTERS: Final = 200
TOPIC: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Emitted:
    """An emitted message; ``size`` is that of ``message`` as JSON, in bytes."""

    topic: str
    message: dict[str, Any]
    key: str
    size: int


def read_emitted(topic: str, message: Json, key: str, before: list[Emitted]) -> Emitted:
    """Return a message that may be kept after those of ``before``.

    Raise PermanentError: `topic_invalid`, `message_key_invalid`, `message_invalid`, `message_too_large` or
    `too_many_messages`.
    """
    if not TOPIC.fullmatch(topic):
        raise PermanentError(
            f"The topic {topic[:80]!r} is not 1 to 64 lower-case letters, digits, dots and underscores.",
            code="topic_invalid",
        )
    if len(key) > MAX_MESSAGE_KEY_CHARACTERS or "\0" in key:
        raise PermanentError(
            f"The key of a message has at most {MAX_MESSAGE_KEY_CHARACTERS} characters and no NUL.",
            code="message_key_invalid",
        )
    text = _text_of(message)
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_MESSAGE_BYTES:
        raise PermanentError(
            f"The message has {size:,} bytes; the limit is {MAX_MESSAGE_BYTES:,}.", code="message_too_large"
        )
    if len(before) >= MAX_MESSAGES or sum(each.size for each in before) + size > MAX_TOTAL_BYTES:
        raise PermanentError(
            f"Between two checkpoints at most {MAX_MESSAGES:,} messages of {MAX_TOTAL_BYTES:,} bytes may be emitted.",
            code="too_many_messages",
        )
    return Emitted(topic, json.loads(text), key, size)


def _text_of(message: Json) -> str:
    try:
        text = json.dumps(dict(message), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"The message is not a JSON object: {error}", code="message_invalid") from error
    if "\\u0000" in text:
        raise PermanentError("The message has a NUL character, which is not stored.", code="message_invalid")
    return text
