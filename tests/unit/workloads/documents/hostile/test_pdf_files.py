"""PDF files that are huge, in circles, scans, encrypted, cut or false."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import replace

import pypdf
import pytest

from tests.unit.workloads.documents.extraction.makers import make_encrypted_pdf, make_pdf
from tests.unit.workloads.documents.hostile.ending import LIMITS, Case, cases, check
from workloads.documents.extraction.limits import MIB

pytestmark = pytest.mark.process

SLIDES = ("Plans", "Weights", "Leases", "Limits", "Breakers", "Batches", "Quotas", "Regions")
SMALL = replace(LIMITS, memory_bytes=256 * MIB)
TEXT = "Fair queues"
TOO_COMPLEX, DAMAGED, ENCRYPTED, WITHOUT_TEXT = (
    "file_too_complex",
    "file_damaged",
    "file_encrypted",
    "file_without_text",
)
DRAWING = b"BT /F1 12 Tf 72 720 Td (Fair queues) Tj ET"
PAGE = "<</Type/Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 5 0 R>>"


def raw(changes: Mapping[int, str | bytes] | None = None, *, trailer: str = "", drawing: bytes = DRAWING) -> bytes:
    """Return a PDF of one page without a table of its objects, which PDFium finds by itself."""
    objects: dict[int, str | bytes] = {
        1: "<</Type/Catalog /Pages 2 0 R>>",
        2: "<</Type/Pages /Count 1 /Kids [3 0 R]>>",
        3: PAGE,
        4: b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
        5: "<</Font <</F1 6 0 R>> /XObject <</X 7 0 R>>>>",
        6: "<</Type/Font /Subtype/Type1 /BaseFont/Helvetica>>",
        7: "<</Type/XObject /Subtype/Form /BBox [0 0 9 9] /Resources 5 0 R /Length 4>>stream\n/X Do\nendstream",
        **(changes or {}),
    }
    body = b"".join(
        b"%d 0 obj\n%s\nendobj\n" % (number, content if isinstance(content, bytes) else content.encode())
        for number, content in objects.items()
    )
    return b"%PDF-1.7\n" + body + f"trailer\n<</Root 1 0 R {trailer}>>\nstartxref\n0\n%%EOF\n".encode()


def packed(data: bytes, times: int = 1) -> bytes:
    """Return a stream that is deflated so many times."""
    for _ in range(times):
        data = zlib.compress(data, 9)
    return b"<</Length %d /Filter [%s]>>stream\n%s\nendstream" % (len(data), b"/FlateDecode " * times, data)


def bomb(piece: bytes, megabytes: int, times: int = 1) -> bytes:
    """Return a stream that unpacks to so many megabytes of a piece; more than once if packed so many times."""
    packer = zlib.compressobj(1)
    chunk = piece * (MIB // len(piece))
    data = b"".join([*(packer.compress(chunk) for _ in range(megabytes)), packer.flush()])
    return packed(data, times - 1).replace(b"/Filter [", b"/Filter [/FlateDecode ")


def rewritten(text: str, **passwords: str) -> bytes:
    """Return a PDF that is encrypted."""
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(text)))
    writer.encrypt(**passwords, algorithm="AES-128")  # type: ignore[arg-type]
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def with_attachment() -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(TEXT)))
    writer.add_attachment("plan.txt", b"attached")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def outline(next_of_first: str) -> bytes:
    return raw(
        {
            1: "<</Type/Catalog /Pages 2 0 R /Outlines 8 0 R>>",
            8: "<</First 9 0 R /Last 9 0 R /Count 1>>",
            9: f"<</Title (Fair) /Parent 8 0 R /Dest [3 0 R /Fit] {next_of_first}>>",
        }
    )


def form(kind: str) -> bytes:
    return raw(
        {
            1: f"<</Type/Catalog /Pages 2 0 R /AcroForm <</Fields [8 0 R] {kind}>>>>",
            3: PAGE.replace(">>", "/Annots [8 0 R]>>"),
            8: "<</Type/Annot /Subtype/Widget /FT/Tx /T (name) /V (entered) /Rect [9 9 99 99]>>",
            9: packed(b"<xdp/>"),
        }
    )


@cases(
    plain=Case("a.pdf", raw, text=TEXT),
    tree_in_a_circle=Case("a.pdf", lambda: raw({2: "<</Type/Pages /Count 9 /Kids [2 0 R]>>"}), code=DAMAGED),
    tree_of_a_billion=Case("a.pdf", lambda: raw({2: "<</Type/Pages /Count 999999999 /Kids [3 0 R]>>"}), text=TEXT),
    tree_of_one_page_again=Case(
        "a.pdf", lambda: raw({2: f"<</Type/Pages /Count 20001 /Kids [{'3 0 R ' * 20_001}]>>"}), code=TOO_COMPLEX
    ),
    count_too_high=Case(
        "a.pdf", lambda: raw({2: "<</Type/Pages /Count 3 /Kids [3 0 R]>>"}), text=TEXT, warning="Page 2"
    ),
    deep_tree=Case(
        "a.pdf",
        lambda: raw(
            {
                2: "<</Type/Pages /Count 1 /Kids [10 0 R]>>",
                **{n: f"<</Type/Pages /Count 1 /Kids [{n + 1} 0 R]>>" for n in range(10, 3_000)},
                3_000: PAGE,
            }
        ),
        code=DAMAGED,
    ),
    outline_in_a_circle=Case("a.pdf", lambda: outline("/Next 9 0 R"), text=TEXT),
    outline_into_itself=Case("a.pdf", lambda: outline("/First 9 0 R /Count 1"), text=TEXT),
    form_in_a_circle=Case("a.pdf", lambda: raw(drawing=DRAWING + b" /X Do"), text=TEXT),
    page_beyond_measure=Case("a.pdf", lambda: raw({3: PAGE.replace("595 842", "99999999999 9e99")}), text=TEXT),
    page_of_no_size=Case("a.pdf", lambda: raw({3: PAGE.replace("595 842", "0 0")}), text=TEXT),
    bomb_in_stream=Case("a.pdf", lambda: raw({4: bomb(b" ", 300)}), code=TOO_COMPLEX, limits=SMALL),
    bomb_in_bomb=Case("a.pdf", lambda: raw({4: bomb(b"q Q ", 300, 2)}), code=TOO_COMPLEX, limits=SMALL),
    thousand_filters=Case(
        "a.pdf",
        lambda: raw({4: b"<</Length 1 /Filter [" + b"/AHx " * 1_000 + b"]>>stream\n>\nendstream"}),
        code=WITHOUT_TEXT,
    ),
    many_objects=Case("a.pdf", lambda: raw({4: packed(b"0 0 9 9 re f " * 200_001)}), code=WITHOUT_TEXT),
    many_characters=Case(
        "a.pdf", lambda: raw(drawing=b"BT /F1 9 Tf " + b"(%s) Tj " % (b"word " * 20) * 2_100 + b"ET"), code=WITHOUT_TEXT
    ),
    deep_arrays=Case("a.pdf", lambda: raw({6: "[" * 90_000}), code=DAMAGED),
    font_in_a_circle=Case(
        "a.pdf",
        lambda: raw({6: "<</Type/Font /Subtype/Type0 /BaseFont/H /DescendantFonts [6 0 R]>>"}),
        code=WITHOUT_TEXT,
    ),
    program_on_opening=Case(
        "a.pdf",
        lambda: raw(
            {1: "<</Type/Catalog /Pages 2 0 R /OpenAction <</S/Launch /F (sh)>> /AA <</O <</S/JavaScript /JS (x)>>>>>>"}
        ),
        text=TEXT,
    ),
)
def test_pdf_in_circles_or_beyond_measure_ends_within_the_limits(case: Case) -> None:
    check(case)


@cases(
    all_pages=Case("a.pdf", lambda: make_pdf("", ""), code=WITHOUT_TEXT),
    nine_of_ten=Case("a.pdf", lambda: make_pdf(TEXT, *[""] * 9), text=TEXT, warning="9 of 10 pages have no text"),
    one_of_ten=Case("a.pdf", lambda: make_pdf(*SLIDES, TEXT, ""), text=TEXT, warning="1 of 10 pages have no text"),
    attachments=Case("a.pdf", with_attachment, text=TEXT, warning="attachments"),
    form_fields=Case("a.pdf", lambda: form(""), text=TEXT, warning="form"),
    dynamic_form=Case("a.pdf", lambda: form("/XFA 9 0 R"), text=TEXT, warning="form"),
    stamp_on_each=Case("a.pdf", lambda: make_pdf(*["Received"] * 5), code=WITHOUT_TEXT),
    title_on_each=Case("a.pdf", lambda: make_pdf(*SLIDES), text="Breakers"),
    damaged_page=Case(
        "a.pdf",
        lambda: raw({2: "<</Type/Pages /Count 2 /Kids [3 0 R 99 0 R]>>"}),
        text=TEXT,
        warning="Page 2 is damaged",
    ),
    damaged_drawing=Case(
        "a.pdf", lambda: raw({4: packed(DRAWING)[:-30] + b"\xff" * 10 + b"\nendstream"}), code=WITHOUT_TEXT
    ),
)
def test_what_is_not_read_of_a_pdf_is_stated(case: Case) -> None:
    check(case)


@cases(
    for_its_reader=Case("a.pdf", lambda: make_encrypted_pdf("x"), code=ENCRYPTED),
    for_its_owner=Case("a.pdf", lambda: rewritten(TEXT, user_password="", owner_password="o"), text=TEXT),
    for_both=Case("a.pdf", lambda: rewritten(TEXT, user_password="u", owner_password="o"), code=ENCRYPTED),
    for_a_certificate=Case(
        "a.pdf", lambda: raw({8: "<</Filter/Adobe.PubSec>>"}, trailer="/Encrypt 8 0 R"), code=ENCRYPTED
    ),
    by_an_unknown_method=Case(
        "a.pdf", lambda: raw({8: "<</Filter/Standard /V 99>>"}, trailer="/Encrypt 8 0 R"), code=ENCRYPTED
    ),
    cut_at_half=Case("a.pdf", lambda: make_pdf(TEXT)[:300], code=DAMAGED),
    cut_at_its_end=Case("a.pdf", lambda: make_pdf(TEXT)[:-8], code=DAMAGED),
    mark_alone=Case("a.pdf", lambda: b"%PDF-1.7", code=DAMAGED),
    both_marks_alone=Case("a.pdf", lambda: b"%PDF-1.7\n%%EOF", code=DAMAGED),
    noise=Case("a.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 99 + b"\n%%EOF", code=DAMAGED),
    no_pages=Case("a.pdf", lambda: raw({2: "<</Type/Pages /Count 0 /Kids []>>"}), code=DAMAGED),
    no_catalog=Case("a.pdf", lambda: raw({1: "null"}), code=DAMAGED),
    false_length=Case(
        "a.pdf", lambda: raw({4: b"<</Length 999999999>>stream\n" + DRAWING + b"\nendstream"}), text=TEXT
    ),
    behind_a_mail=Case("a.pdf", lambda: b"From: mail\n\n" + make_pdf(TEXT), text=TEXT),
    named_as_text=Case("a.txt", lambda: make_pdf(TEXT), text=TEXT),
    text_named_as_pdf=Case("a.pdf", lambda: b"no PDF", code="type_unknown"),
)
def test_encrypted_or_damaged_pdf_has_its_code(case: Case) -> None:
    check(case)
