"""E-mails with nested messages, broken parts, false headers, encryption, and more headers than text."""

from __future__ import annotations

import base64
from email.message import EmailMessage

import pytest

from tests.unit.workloads.documents.hostile.ending import Case, cases, check

pytestmark = pytest.mark.process

TEXT = "Fair queues"
TOO_COMPLEX, DAMAGED, ENCRYPTED = "file_too_complex", "file_damaged", "file_encrypted"
HEAD = b"Subject: Plans\nMIME-Version: 1.0\n"
ATTACHMENTS, NOT_WELL_FORMED, WITHOUT_TEXT = "attachments", "not well formed", "no text that can be read"
HEADER = "Of the header"


def mail(content_type: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\n" for header in headers)
    return HEAD + f"Content-Type: {content_type}\n{lines}\n".encode() + body


def parts(*bodies: bytes, end: bytes = b"--x--\n") -> bytes:
    return b"".join(b"--x\n" + body for body in bodies) + end


PLAIN = b"Content-Type: text/plain\n\nFair queues\n"
MIXED = "multipart/mixed; boundary=x"


def with_attachment(name: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Plans"
    message.set_content(TEXT)
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename=name)
    return message.as_bytes()


def with_mail_attached() -> bytes:
    inner, outer = EmailMessage(), EmailMessage()
    inner.set_content("inner text")
    inner.add_attachment(b"x", maintype="a", subtype="b", filename="deep.bin")
    outer["Subject"] = "Plans"
    outer.set_content(TEXT)
    outer.add_attachment(inner)
    return outer.as_bytes()


@cases(
    mail_in_a_mail=Case("a.eml", with_mail_attached, text=TEXT, warning=ATTACHMENTS, lacks="inner text"),
    mails_without_end=Case("a.eml", lambda: b"Subject: x\nContent-Type: message/rfc822\n\n" * 9_000, code=TOO_COMPLEX),
    multiparts_without_end=Case(
        "a.eml",
        lambda: HEAD + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(900)),
        text="Plans",
        warning=ATTACHMENTS,
    ),
    many_parts=Case("a.eml", lambda: mail(MIXED, parts(*[PLAIN] * 1_200)), code=TOO_COMPLEX),
    second_text=Case("a.eml", lambda: mail(MIXED, parts(PLAIN, PLAIN)), text=TEXT, warning=ATTACHMENTS),
    attached_page=Case(
        "a.eml",
        lambda: mail(MIXED, parts(PLAIN, b"Content-Disposition: attachment\nContent-Type: text/html\n\n<p>x\n")),
        text=TEXT,
        warning=ATTACHMENTS,
    ),
    name_with_nul=Case(
        "a.eml",
        lambda: mail(MIXED, parts(PLAIN, b"Content-Disposition: attachment; filename*=utf-8''a%00b.pdf\n\nx\n")),
        text=TEXT,
        warning="ab.pdf",
    ),
    name_with_surrogates=Case(
        "a.eml",
        lambda: mail(MIXED, parts(PLAIN, b'Content-Disposition: attachment; filename="caf\xe9.pdf"\n\nx\n')),
        text=TEXT,
        warning="pdf",
    ),
    name_with_bidi_controls=Case("a.eml", lambda: with_attachment("a\u202efdp.exe"), text=TEXT, warning="afdp.exe"),
    long_name=Case("a.eml", lambda: with_attachment("a" * 9_000), text=TEXT, warning=ATTACHMENTS),
)
def test_attachment_is_named_and_not_read(case: Case) -> None:
    check(case)


@cases(
    encrypted_by_smime=Case(
        "a.eml",
        lambda: mail('application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', b"MIIB"),
        code=ENCRYPTED,
    ),
    encrypted_by_pgp=Case(
        "a.eml",
        lambda: mail(
            "multipart/encrypted; boundary=x", parts(b"Content-Type: application/pgp-encrypted\n\nVersion: 1\n")
        ),
        code=ENCRYPTED,
    ),
    signed=Case(
        "a.eml",
        lambda: mail("multipart/signed; boundary=x", parts(PLAIN, b"Content-Type: application/pgp-signature\n\nx\n")),
        text=TEXT,
        warning=ATTACHMENTS,
    ),
    file_alone=Case("a.eml", lambda: mail("application/pdf", b"%PDF-"), text="Plans", warning=WITHOUT_TEXT),
    calendar_alone=Case(
        "a.eml",
        lambda: mail("multipart/alternative; boundary=x", parts(b"Content-Type: text/calendar\n\nBEGIN\n")),
        text="Plans",
        warning=WITHOUT_TEXT,
    ),
    no_body=Case("a.eml", lambda: HEAD + b"\n", text="Plans"),
    no_headers=Case("a.eml", lambda: b"\nFair queues", code=DAMAGED),
    not_a_mail=Case("a.eml", lambda: b"Fair queues\n\nand more", code=DAMAGED),
)
def test_mail_without_readable_text_is_refused_or_a_warning(case: Case) -> None:
    check(case)


@cases(
    no_boundary=Case("a.eml", lambda: mail("multipart/mixed", parts(PLAIN)), text="Plans", warning=NOT_WELL_FORMED),
    other_boundary=Case(
        "a.eml", lambda: mail("multipart/mixed; boundary=y", parts(PLAIN)), text="Plans", warning=NOT_WELL_FORMED
    ),
    cut_in_a_part=Case("a.eml", lambda: mail(MIXED, parts(PLAIN, end=b"")), text=TEXT, warning=NOT_WELL_FORMED),
    damaged_base64=Case(
        "a.eml",
        lambda: mail(
            "text/plain", base64.b64encode(b"Fair queues " * 9)[:-5] + b"!", "Content-Transfer-Encoding: base64"
        ),
        text=TEXT,
        warning=NOT_WELL_FORMED,
    ),
    no_base64=Case(
        "a.eml",
        lambda: mail("text/plain", b"F", "Content-Transfer-Encoding: base64"),
        text="Plans",
        warning=NOT_WELL_FORMED,
    ),
    unknown_transfer=Case(
        "a.eml", lambda: mail("text/plain", b"Fair queues", "Content-Transfer-Encoding: klingon"), text=TEXT
    ),
    damaged_quoted=Case(
        "a.eml",
        lambda: mail("text/plain", b"Fair=ZZ queues =", "Content-Transfer-Encoding: quoted-printable"),
        text="queues",
    ),
    unknown_charset=Case(
        "a.eml",
        lambda: mail("text/plain; charset=klingon", "café Fair queues".encode()),
        text="café Fair queues",
        warning="klingon",
    ),
    false_charset=Case(
        "a.eml",
        lambda: mail("text/plain; charset=ascii", "café Fair queues".encode()),
        text="café Fair queues",
        warning="ascii",
    ),
    charset_with_nul=Case(
        "a.eml", lambda: mail("text/plain; charset*=utf-8''a%00b", "café".encode()), text="café", warning="encoding ab"
    ),
    nul=Case("a.eml", lambda: mail("text/plain", b"Fair\0queues"), code=DAMAGED),
    page_of_divs=Case("a.eml", lambda: mail("text/html", b"<div>" * 3_000), code=TOO_COMPLEX),
    page_and_text=Case(
        "a.eml",
        lambda: mail(
            "multipart/alternative; boundary=x", parts(PLAIN, b"Content-Type: text/html\n\n<p>Fair <b>queues</b>\n")
        ),
        text=TEXT,
    ),
)
def test_mail_that_is_not_well_formed_is_a_warning(case: Case) -> None:
    check(case)


@cases(
    huge_header=Case(
        "a.eml", lambda: b"Subject: " + b"word " * 200_000 + b"\n\nFair queues", text=TEXT, warning=HEADER
    ),
    many_headers=Case(
        "a.eml", lambda: b"".join(b"X-%d: x\n" % n for n in range(50_000)) + HEAD + b"\nFair queues", text=TEXT
    ),
    many_recipients=Case(
        "a.eml",
        lambda: (
            HEAD
            + b"To: "
            + b",\n ".join(b'"A %d" <a%d@example.com>' % (n, n) for n in range(5_000))
            + b"\n\nFair queues"
        ),
        text=TEXT,
        warning=HEADER,
    ),
    comments_in_comments=Case(
        "a.eml", lambda: HEAD + b"From: " + b"(" * 5_000 + b"\n\nFair queues", text=TEXT, warning=HEADER
    ),
    groups=Case("a.eml", lambda: HEAD + b"To: " + b"a:" * 5_000 + b";\n\nFair queues", text=TEXT, warning=HEADER),
    folded_without_end=Case(
        "a.eml", lambda: b"Subject: a\n" + b" b\n" * 50_000 + b"\nFair queues", text=TEXT, warning=HEADER
    ),
    subject_in_words=Case(
        "a.eml", lambda: b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nFair queues", text=TEXT, warning=HEADER
    ),
    subject_in_unknown_words=Case(
        "a.eml", lambda: b"Subject: =?klingon?b?////?= =?utf-8?x?a?=\n\nFair queues", text=TEXT
    ),
    subject_with_surrogates=Case("a.eml", lambda: b"Subject: caf\xe9 \xff\n\nFair queues", text=TEXT),
    date_of_no_calendar=Case(
        "a.eml", lambda: b"Date: 99 Foo 99999 99:99:99 +9999\n" + HEAD + b"\nFair queues", text=TEXT
    ),
    parameters=Case(
        "a.eml", lambda: mail("text/plain; " + "".join(f"a*{n}=x; " for n in range(2_000)), b"Fair queues"), text=TEXT
    ),
    lines_of_old_systems=Case("a.eml", lambda: b"Subject: Plans\r\rFair queues\r", text=TEXT),
    mailbox=Case(
        "a.eml", lambda: b"From a@example.com Thu Jan  1 00:00:00 2026\nSubject: Plans\n\nFair queues", text=TEXT
    ),
)
def test_header_is_bounded(case: Case) -> None:
    check(case)
