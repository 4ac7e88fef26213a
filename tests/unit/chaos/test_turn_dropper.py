"""Recognition of the statement that settles a list's job and begins the next, in the bytes of a connection."""

from __future__ import annotations

import random
import struct
from typing import cast

import pytest

from tests.acceptance.proxy import Pair
from tests.chaos.rows.lists import TurnDropper


def parse(name: bytes, text: bytes) -> bytes:
    content = name + b"\0" + text + b"\0" + struct.pack("!h", 0)
    return b"P" + struct.pack("!i", len(content) + 4) + content


def bind(name: bytes) -> bytes:
    content = b"\0" + name + b"\0" + struct.pack("!hhh", 0, 0, 0)
    return b"B" + struct.pack("!i", len(content) + 4) + content


SETTING, TURN = parse(b"s1", b"SELECT set_config($1)"), parse(b"s2", b"WITH x AS (SELECT)\nSELECT b.id AS begun_id")


@pytest.fixture
def dropper() -> TurnDropper:
    dropper = TurnDropper()
    dropper.begin(1.0, random.Random(1))
    return dropper


def test_response_to_the_statement_is_dropped_at_each_run_and_no_other(dropper: TurnDropper) -> None:
    one, other = cast("Pair", object()), cast("Pair", object())
    for sent, is_kept in ((SETTING, True), (bind(b"s2"), True), (TURN + bind(b"s2"), False), (bind(b"s2"), False)):
        assert dropper(one, False, sent)
        assert dropper(one, True, b"answer") is is_kept
    # Each connection has its own names.
    assert dropper(other, False, bind(b"s2"))
    assert dropper(other, True, b"answer")
    assert dropper.dropped == 2
