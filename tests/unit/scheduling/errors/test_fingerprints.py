"""Errors of one cause share a fingerprint, and those of two causes do not: tables of real messages."""

from __future__ import annotations

import itertools

import pytest

from scheduling.errors.fingerprints import MAX_READ_CHARACTERS, fingerprint_of, normalised_message

# A type, and messages of one cause.
ONE_CAUSE = [
    ("ValueError", ["page 3 of 17 is empty", "page 12 of 9 is empty"]),
    ("ValueError", ["1,234,567 rows", "12 rows", "1_000 rows", "-3.5e-7 rows"]),
    (
        "timed_out",
        ["ran longer than the 300 s that", "ran longer than the 2.5 s that", "ran longer than the 90 min that"],
    ),
    ("MemoryError", ["wants 1.5 GiB", "wants 900 MiB", "wants 12bytes", "wants 7 bytes"]),
    # Ids of every format.
    (
        "NotFound",
        [
            "document 018f6f3e-7a61-7d1c-9c4e-1a2b3c4d5e6f is gone",
            "document 018F6F3E7A617D1C9C4E1A2B3C4D5E6F is gone",
            "document 8a1b2c3d is gone",
            "document 42 is gone",
            "document 01ARZ3NDEKTSV4RRFFQ69G5FAV is gone",
            "document cus_9s6XKzkNRiz8i3 is gone",
            "document e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 is gone",
        ],
    ),
    ("RuntimeError", ["<Reader object at 0x7f3a5c0d2e50> is closed", "<Reader object at 0x10A> is closed"]),
    # Addresses: network, mail, hardware.
    (
        "ConnectionError",
        [
            "connect to 10.0.0.17:5432 refused",
            "connect to 192.168.1.1 refused",
            "connect to [2001:db8::1]:443 refused",
            "connect to fe80::1%eth0 refused",
            "connect to ::1 refused",
        ],
    ),
    ("MailError", ["no mailbox for ann@example.com", "no mailbox for bob.o+x@mail.example.co.uk"]),
    ("ArpError", ["no answer from 00:1a:2b:3c:4d:5e", "no answer from AA-BB-CC-DD-EE-FF"]),
    # Paths, and names of documents.
    (
        "FileNotFoundError",
        [
            "[Errno 2] No such file or directory: '/srv/media/acme/a.pdf'",
            "[Errno 2] No such file or directory: '/tmp/x y/b'",
        ],
    ),
    (
        "OSError",
        [
            "cannot read /srv/media/acme/report.pdf",
            "cannot read ~/inbox",
            "cannot read ../b/c.txt",
            "cannot read C:\\Users\\ann\\report.docx",
            "cannot read \\\\server\\share\\x.csv",
            "cannot read inbox/2026/notes.md",
            "cannot read quarterly-report.xlsx",
        ],
    ),
    (
        "HTTPError",
        [
            "503 for https://api.example.com/users/17?token=abc",
            "502 for https://ann:secret@api.example.com/orders",
            "500 for https://api.example.com",
        ],
    ),
    # Times and durations.
    (
        "Late",
        [
            "due 2026-01-31T09:30:00.123456Z, gave up",
            "due 2026-01-31 09:30:00+01:00, gave up",
            "due 2025-12-01, gave up",
            "due 12:30:01, gave up",
        ],
    ),
    # Lists of any length; white space.
    ("ValueError", ["ids [1, 2, 3] are taken", "ids [4] are taken", "ids  [5,\n6] are taken"]),
    # Input of users.
    ("ValueError", ["could not convert string to float: 'abc'", "could not convert string to float: 'x 1'"]),
    ("ParseError", ["“Müller & Söhne” is no number", "“7a” is no number"]),
    ("ParseError", ["第3页解析失败", "第12页解析失败"]),
    (
        "IntegrityError",
        [
            'duplicate key value violates unique constraint "job_key"\nDETAIL:  Key (name)=(acme) already exists.',
            'duplicate key value violates unique constraint "job_key"\nDETAIL:  Key (name)=(globex x) already exists.',
        ],
    ),
    ("KeyError", ["'018f6f3e-7a61-7d1c-9c4e-1a2b3c4d5e6f'", "42", "'report 7.pdf'"]),
    # Text beyond the read part is ignored.
    ("ValueError", ["x" * MAX_READ_CHARACTERS + "a", "x" * MAX_READ_CHARACTERS + "b"]),
]

# A type and a message each, all of them different causes.
TWO_CAUSES = [
    [("KeyError", "'size'"), ("KeyError", "'name'")],
    [("ValueError", "page 3 is empty"), ("TypeError", "page 3 is empty")],
    [("ValueError", "page 3 is empty"), ("ValueError", "page 3 is torn")],
    # An apostrophe opens no quotation: the text between two of them counts.
    [("OSError", "can't open the file, won't retry"), ("OSError", "can't close the socket, won't retry")],
    # Words that consist of hexadecimal digits.
    [("ValueError", "the deadbeef is defaced"), ("ValueError", "the facade is effaced")],
    [("ValueError", "accede--accede"), ("ValueError", "decade--decade")],
    # Servers are separate dependencies; and/or and text/html are not paths.
    [("HTTPError", "503 for https://api.example.com/x"), ("HTTPError", "503 for https://mail.example.com/x")],
    [("MediaError", "text/html is not taken"), ("MediaError", "text/plain is not taken")],
    [("ValueError", "read and/or write"), ("ValueError", "stop and/or write")],
    [
        ("AttributeError", "'NoneType' object has no attribute 'size'"),
        ("AttributeError", "'str' object has no attribute 'size'"),
    ],
    [("ModuleNotFoundError", "No module named 'yaml'"), ("ModuleNotFoundError", "No module named 'lxml.etree'")],
    [
        ("ProgrammingError", 'column "size" does not exist'),
        ("ProgrammingError", 'column "name" does not exist'),
    ],
    [("ParseError", "第3页解析失败"), ("ParseError", "第3页无法解析")],
    [("ValueError", ""), ("ValueError", "-")],
]


@pytest.mark.parametrize(("error_type", "messages"), ONE_CAUSE, ids=lambda value: str(value)[:40])
def test_errors_of_one_cause_share_a_fingerprint(error_type: str, messages: list[str]) -> None:
    patterns = {normalised_message(error_type, message) for message in messages}
    assert len(patterns) == 1, patterns
    assert len({fingerprint_of(error_type, message) for message in messages}) == 1


@pytest.mark.parametrize("causes", TWO_CAUSES, ids=lambda value: str(value[0])[:40])
def test_errors_of_two_causes_have_different_fingerprints(causes: list[tuple[str, str]]) -> None:
    for first, second in itertools.combinations(causes, 2):
        assert fingerprint_of(*first) != fingerprint_of(*second)


@pytest.mark.parametrize(
    ("error_type", "message", "expected"),
    [
        ("ConnectionError", "connect to 10.0.0.17:5432 failed after 3 tries", "connect to # failed after # tries"),
        ("HTTPError", "GET https://api.example.com/v1/users/17: 503", "GET https://api.example.com/#"),
        ("KeyError", "'user_id'", "'user_id'"),
        ("ValueError", "no 'blue' among [1, 2]", "no # among [#]"),
        ("ValueError", "sha256 and utf8 stay words, chunk-17 too", "sha# and utf# stay words, chunk-# too"),
    ],
)
def test_normalised_message_is_readable(error_type: str, message: str, expected: str) -> None:
    assert normalised_message(error_type, message) == expected


@pytest.mark.parametrize(
    "hostile",
    [piece * 8_000 for piece in ("a/", "1:", "::", "a@", "'", "9-", "a1", "[", "=(", "a.", "ab-", "http://", "\\")],
)
def test_hostile_message_has_a_fingerprint(hostile: str) -> None:
    assert len(fingerprint_of("ValueError", hostile)) == 16


def test_message_that_cannot_be_encoded_has_a_fingerprint() -> None:
    assert len(fingerprint_of("ValueError", "\ud800")) == 16
