"""Encodings of files of text: given, declared and guessed, with the warnings of each."""

from __future__ import annotations

import pytest

from workloads.documents.blocks import MAX_WARNINGS, Facts
from workloads.documents.extraction.decoding import canonical_encoding, decode
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.plain import read_xml

CHINESE = "公平调度器选择虚拟时间最小的合格子节点，并收取预测成本。租户之间互不影响，任务不会丢失。"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("Windows-1252", "cp1252"),
        ("latin1", "iso8859-1"),
        ("GB18030", "gb18030"),
        ("Shift_JIS", "shift_jis"),
        ("utf-8-sig", "utf-8-sig"),
    ],
)
def test_encoding_is_known_by_its_usual_names(name: str, canonical: str) -> None:
    assert canonical_encoding(name) == canonical


@pytest.mark.parametrize(
    "name",
    [
        "klingon",
        "base64",
        "zip",
        "rot13",
        "hex",
        "idna",
        "punycode",
        "unicode_escape",
        "undefined",
        "../etc",
    ],
)
def test_codec_that_is_no_encoding_of_files_is_unknown(name: str) -> None:
    with pytest.raises(LookupError):
        canonical_encoding(name)


def test_given_encoding_is_used_even_if_the_bytes_are_another() -> None:
    facts = Facts("gb18030")
    assert decode(CHINESE.encode("gb18030"), facts) == CHINESE
    assert (facts.encoding, facts.warnings) == ("gb18030", [])
    wrong = Facts("utf-8")
    assert "\ufffd" in decode(CHINESE.encode("gb18030"), wrong)
    assert "not valid in the encoding utf-8" in wrong.warnings[0]


@pytest.mark.parametrize(
    ("data", "encoding", "is_doubtful"),
    [
        (CHINESE.encode(), "utf-8", False),
        (CHINESE.encode("utf-8-sig"), "utf-8-sig", False),
        (CHINESE.encode("utf-16"), "utf-16", False),
        (CHINESE.encode("gb18030"), "gb18030", False),
        ("naïve café".encode("latin-1"), "cp1252", True),
        (CHINESE[:8].encode("gb18030"), "gb18030", True),
    ],
)
def test_encoding_is_stated_and_a_guess_is_a_warning(data: bytes, encoding: str, is_doubtful: bool) -> None:
    facts = Facts()
    decode(data, facts)
    if not is_doubtful:
        assert facts.encoding == encoding
    assert any("is a guess" in warning for warning in facts.warnings) == is_doubtful


def test_few_invalid_bytes_are_a_warning_and_no_other_encoding() -> None:
    facts = Facts()
    text = decode((CHINESE * 20).encode() + b"\xff end", facts)
    assert text.endswith("\ufffd end")
    assert facts.encoding == "utf-8"
    assert "are not valid" in facts.warnings[0]


def test_xml_may_declare_its_encoding() -> None:
    facts = Facts()
    (block,) = read_xml('<?xml version="1.0" encoding="koi8-r"?><x>Очередь</x>'.encode("koi8-r"), facts)
    assert "Очередь" in block.text
    assert (facts.encoding, facts.warnings) == ("koi8-r", [])


@pytest.mark.parametrize("declared", [b"klingon", b"base64", b"utf-16", b"unicode_escape", b"idna"])
def test_false_declaration_is_not_followed(declared: bytes) -> None:
    facts = Facts()
    data = b'<meta charset="' + declared + b'">caf\xe9 au lait \\u0041'
    assert "café au lait \\u0041" in decode(data, facts, is_html=True)
    assert "is a guess" in facts.warnings[0]


def test_bytes_that_are_no_text_ask_for_the_encoding() -> None:
    with pytest.raises(FileDamagedError, match="give its encoding"):
        decode(bytes(range(256)) * 40, Facts())


def test_warnings_are_bounded() -> None:
    facts = Facts()
    for number in range(100):
        facts.warn(f"{number} " + "x" * 5_000)
    assert len(facts.warnings) == MAX_WARNINGS
    assert max(map(len, facts.warnings)) <= 300
