"""E-mails, JSON, XML, source code, logs and reStructuredText."""

from __future__ import annotations

import json
from email.message import EmailMessage

import pytest

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.extraction.errors import FileDamagedError, FileTooComplexError
from workloads.documents.extraction.mail import read_mail
from workloads.documents.extraction.plain import read_json, read_source, read_text, read_xml


def make_mail(text: str = "First.\n\nSecond.", **headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in {
        "Subject": "公平 queues",
        "From": "A <a@example.com>",
        "To": "b@example.com",
        **headers,
    }.items():
        message[name] = value
    message.set_content(text)
    return message


def test_mail_becomes_subject_headers_and_text() -> None:
    blocks = list(read_mail(make_mail(Bcc="hidden@example.com").as_bytes(), Facts()))
    assert [block.text for block in blocks] == [
        "公平 queues",
        "From: A <a@example.com>\nTo: b@example.com",
        "First.",
        "Second.",
    ]
    assert blocks[0].level == 1


def test_mail_in_two_forms_is_read_once_and_attachments_are_a_warning() -> None:
    message, facts = make_mail("plain"), Facts()
    message.add_alternative("<p>rich</p><table><tr><th>a<th>b<tr><td>1<td></table>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="plan.pdf")
    assert [block.text for block in read_mail(message.as_bytes(), facts)][2:] == ["rich", "1 | "]
    assert facts.warnings == ["The attachments of the e-mail are not indexed: plan.pdf"]


@pytest.mark.parametrize("charset", ["klingon", "unicode_escape", "ascii"])
def test_mail_with_a_false_charset_is_read_with_a_warning(charset: str) -> None:
    facts = Facts()
    head = f"Subject: x\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n"
    data = head.encode() + b"caf\xc3\xa9 \\u0041\n"
    assert [block.text for block in read_mail(data, facts)][1:] == ["café \\u0041"]
    assert charset in facts.warnings[0]


def test_nested_mail_and_mail_of_many_parts_are_refused_or_read() -> None:
    parts = b"".join(b"--x\nContent-Type: text/plain\n\na\n" for _ in range(1_001))
    with pytest.raises(FileTooComplexError, match="parts"):
        list(read_mail(b"Subject: x\nContent-Type: multipart/mixed; boundary=x\n\n" + parts + b"--x--", Facts()))
    nested = b"Subject: x\nContent-Type: message/rfc822\n\n" * 20_000
    with pytest.raises((FileTooComplexError, RecursionError)):  # the parsing process names both alike
        list(read_mail(nested, Facts()))


def test_text_without_headers_is_no_mail() -> None:
    with pytest.raises(FileDamagedError, match="no headers"):
        list(read_mail(b"\nonly text", Facts()))


def test_json_is_as_written_and_long_lines_are_indented() -> None:
    written = '{"b": 1,\n   "a": [1,\n 2]}'
    assert [block.text for block in read_json(written.encode(), Facts())] == [written]
    value = {"队列": ["x" * 30] * 40}
    (block,) = read_json(json.dumps(value).encode(), Facts())
    assert block.text == json.dumps(value, ensure_ascii=False, indent=2)
    assert block.kind is BlockKind.CODE


def test_invalid_json_is_text_with_a_warning_and_deep_json_is_refused() -> None:
    facts = Facts()
    assert [block.text for block in read_json(b"{" + b"x" * 600, facts)] == ["{" + "x" * 600]
    assert "not valid JSON" in facts.warnings[0]
    with pytest.raises(RecursionError):  # the parsing process reports it as too complex
        list(read_json(b"[" * 200_000, Facts()))


def test_xml_is_as_written_without_entities_being_resolved() -> None:
    written = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n<x>\n  <a>&e;</a>\n</x>'
    assert [block.text for block in read_xml(written.encode(), Facts())] == [written]
    (block,) = read_xml(("<x>" + "<a>1</a>" * 100 + "</x>").encode(), Facts())
    assert block.text.split("\n")[:3] == ["<x>", "<a>1</a>", "<a>1</a>"]


def test_source_code_is_one_listing_as_it_is() -> None:
    code = "\ndef f():\n\n\n\treturn  1\n"
    assert list(read_source(code.encode(), Facts())) == [Block(code, {"line": 1}, kind=BlockKind.CODE)]


def test_underlined_lines_are_headings_and_indented_paragraphs_listings() -> None:
    text = "Guide\n=====\n\nText\nmore::\n\n    a = 1\n\n\n    b = 2\n\nPart\n----\nEnd.\n\nNext\n====\n"
    blocks = list(read_text(text.encode(), Facts()))
    assert [(block.text, block.level, block.location["line"]) for block in blocks] == [
        ("Guide", 1, 1),
        ("Text\nmore::", 0, 4),
        ("    a = 1\n\n\n    b = 2", 0, 7),
        ("Part", 2, 12),
        ("End.", 0, 14),
        ("Next", 1, 16),
    ]
    assert [block.kind for block in blocks if not block.level][1] is BlockKind.CODE
