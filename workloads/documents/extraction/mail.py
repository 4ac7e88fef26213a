"""Reader of e-mails (.eml) by the standard library: the headers that people read, and the text of the message."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import canonical_encoding, decode
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.html import html_blocks
from workloads.documents.extraction.plain import text_blocks

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_MAX_PARTS = 1_000
# The standard library parses a header in a time that is the square of its length.
_MAX_HEADER_CHARACTERS = 2_000
_ENCRYPTED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"})


def read_mail(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield the subject as a heading, the headers, and the text of a message. Attachments are named, not read.

    Of a message in several forms the HTML is read, which has tables and headings.
    """
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise FileDamagedError("The file is no e-mail: it has no headers.")
    if sum(1 for _ in message.walk()) > _MAX_PARTS:
        raise FileTooComplexError(f"The e-mail has more than {_MAX_PARTS} parts.")
    if message.get_content_type() in _ENCRYPTED:
        raise FileEncryptedError("The e-mail is encrypted, or its signature encloses its text.")
    subject = _header(message, "Subject", facts)
    if subject:
        yield Block(subject, {}, 1)
    headers = [f"{name}: {value}" for name in _SHOWN_HEADERS if (value := _header(message, name, facts))]
    if headers:
        yield Block("\n".join(headers))
    body = message.get_body(preferencelist=("html", "plain"))
    if body is not None:
        text = _text_of(body, facts)
        yield from html_blocks(text) if body.get_content_subtype() == "html" else text_blocks(text)
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    if names:
        facts.warn(f"The attachments of the e-mail are not indexed: {', '.join(names)}")
    elif body is None:
        facts.warn(f"The e-mail has no text that can be read, but {message.get_content_type()}.")
    defects = {type(defect).__name__ for part in message.walk() for defect in part.defects}
    if defects:
        facts.warn(f"The e-mail is not well formed; text may be missing: {', '.join(sorted(defects))}")


def _header(message: EmailMessage, name: str, facts: Facts) -> str:
    written = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if len(written) > _MAX_HEADER_CHARACTERS:
        facts.warn(f"Of the header {name} only the first {_MAX_HEADER_CHARACTERS} characters are indexed.")
        written = written[:_MAX_HEADER_CHARACTERS]
    try:
        value = str(message.policy.header_fetch_parse(name, written))
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        # The parser of the standard library fails on some invalid headers.
        value = written
    return " ".join(value.split())


def _text_of(part: MIMEPart, facts: Facts) -> str:
    """Return the text of a part in the charset that it declares, else in one that is detected."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    declared = part.get_content_charset() or ""
    if declared and not facts.encoding:
        try:
            return data.decode(canonical_encoding(declared))
        except (LookupError, UnicodeDecodeError):
            facts.warn(f"The e-mail declares the encoding {declared[:40]}, in which its text is not valid.")
    return decode(data, facts)
