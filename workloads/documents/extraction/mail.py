"""Reader of e-mails (.eml) by the standard library: the headers that people read, and the text of the message."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import decode
from workloads.documents.extraction.errors import FileDamagedError, FileTooComplexError
from workloads.documents.extraction.html import html_blocks
from workloads.documents.extraction.plain import text_blocks

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_MAX_PARTS = 1_000
_MAX_HEADER_CHARACTERS = 2_000


def read_mail(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the subject as a heading, the headers, and the text of a message. Attachments are named, not read.

    Of a message in several forms the HTML is read, which has tables and headings.
    """
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise FileDamagedError("The file is no e-mail: it has no headers.")
    if sum(1 for _ in message.walk()) > _MAX_PARTS:
        raise FileTooComplexError(f"The e-mail has more than {_MAX_PARTS} parts.")
    subject = _header(message, "Subject")
    if subject:
        yield Block(subject, {}, 1)
    headers = [f"{name}: {value}" for name in _SHOWN_HEADERS if (value := _header(message, name))]
    if headers:
        yield Block("\n".join(headers))
    body = message.get_body(preferencelist=("html", "plain"))
    if body is not None:
        text = _text_of(body, facts)
        yield from html_blocks(text) if body.get_content_subtype() == "html" else text_blocks(text)
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    if names:
        facts.warn(f"The attachments of the e-mail are not indexed: {', '.join(names)}")


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except (ValueError, TypeError, IndexError, AttributeError):
        # The parser of the standard library fails on some invalid headers.
        value = ""
    return " ".join(value.split())[:_MAX_HEADER_CHARACTERS]


def _text_of(part: MIMEPart, facts: Facts) -> str:
    """Return the text of a part in the charset that it declares, else in one that is detected."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    declared = part.get_content_charset() or ""
    if declared and not facts.encoding:
        try:
            return data.decode(declared)
        except (LookupError, UnicodeDecodeError):
            facts.warn(f"The e-mail declares the encoding {declared[:40]}, in which its text is not valid.")
    return decode(data, facts)
