"""Strict JSON: accepted and refused input, with the message of each refusal."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from tenants.api.input import StrictJSONParser
from tenants.api.strict_json import MAX_DEPTH, parse_json
from tenants.exceptions import BodyTooLargeError, JsonInvalidError


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, -2.5, true, null, "x"]}', {"a": [1, -2.5, True, None, "x"]}),
        ('{"名": "值"}'.encode(), {"名": "值"}),
        (rb'"\ud83d\ude00"', "😀"),  # a pair of surrogates is one character
        (rb'"\\u0000"', "\\u0000"),  # an escaped backslash, not a NUL
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 40),  # brackets inside a string are text
        (rb'"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', '"' + "[" * 38),  # and after an escaped quote
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'{"a": {"x": 1}, "b": {"x": 1}}', {"a": {"x": 1}, "b": {"x": 1}}),  # the same key in two objects
        (nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH))),
    ],
)
def test_valid_json_is_accepted(body, value):
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (nested(MAX_DEPTH + 1), "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),  # would exhaust the stack of a recursive parser
        (rb'"a\u0000b"', "NUL"),
        (rb'{"a\u0000": 1}', "NUL"),
        (b'"a\x00b"', "control character"),
        (rb'"\ud800"', "surrogate"),
        (rb'["\udc00\ud800"]', "surrogate"),
        (b'"\xed\xa0\x80"', "not UTF-8"),  # a surrogate in raw bytes
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (rb'{"a": 1, "\u0061": 2}', "'a' occurs twice"),
        (b"9223372036854775808", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"1" * 5_000, "64 bits"),  # Python itself refuses to convert so many digits
        (b"1e999", "too large"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"", "line 1"),
        (b'{"a": }', "line 1, column"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'"unfinished', "line 1"),
        (b"{} {}", "Extra data"),
    ],
)
def test_invalid_json_is_refused_with_its_fault(body, words):
    with pytest.raises(JsonInvalidError) as refusal:
        parse_json(body)
    assert words in refusal.value.detail


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 400_000, b'"' + b'\\"' * 400_000 + b"\\", b'""' * 400_000])
def test_long_run_of_quotes_is_read_in_linear_time(body):
    # A backtracking pattern would read the rest of the text again at each of 400,000 quotes and never end.
    with pytest.raises(JsonInvalidError):
        parse_json(body)


def parse(body: bytes, media_type: str = "application/json", limit: int | None = None):
    view = SimpleNamespace(max_body_bytes=limit)
    return StrictJSONParser().parse(io.BytesIO(body), media_type, {"view": view})


def test_body_of_the_limit_is_accepted_and_one_byte_more_refused():
    assert parse(b'"1234"', limit=6) == "1234"
    with pytest.raises(BodyTooLargeError, match="6 bytes"):
        parse(b'"12345"', limit=6)


def test_view_without_limit_has_that_of_the_settings(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    with pytest.raises(BodyTooLargeError, match="10 bytes"):
        parse(b'"123456789"')


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_charset_utf8_is_accepted(charset):
    assert parse(b"{}", f"application/json; charset={charset}") == {}


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "utf-7", "nonsense"])
def test_other_charset_is_refused(charset):
    with pytest.raises(JsonInvalidError, match="UTF-8"):
        parse(b"{}", f"application/json; charset={charset}")
