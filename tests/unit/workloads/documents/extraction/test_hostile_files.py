"""Files that were made to harm whoever reads them: pictures without end, archives that lead out, entities."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import docx
import pypdf
import pytest
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

from tests.unit.workloads.documents.extraction.makers import DOCX_TYPES, make_docx, make_pdf, rewrite_docx, save_docx
from workloads.documents.extraction.docx import read_docx
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.extractor import extract_blocks
from workloads.documents.extraction.limits import MAX_DIRECTORY_BYTES, MAX_PARTS, MIB, ParsingLimits
from workloads.documents.extraction.sniffing import OLE_MAGIC, ContentType, sniff

SIDE = 65_535  # squared: four thousand million pixels
LITTLE = ParsingLimits(memory_bytes=384 * MIB, cpu_seconds=20)


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as opened:
        yield opened


def write(file: IO[bytes], content: bytes) -> IO[bytes]:
    file.write(content)
    file.flush()
    return file


def make_png(width: int, height: int) -> bytes:
    """A picture that says how large it is, with one row of it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    row = zlib.compress(b"\0" * (width * 3 + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def make_pdf_with_picture(text: str, side: int) -> bytes:
    """A page with a line of text over a picture whose bytes, unpacked, would be gigabytes."""
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(text)))
    picture = DecodedStreamObject()
    picture.set_data(b"\0" * (64 * MIB))
    packed = picture.flate_encode(9)
    packed.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Image"),
            NameObject("/Width"): NumberObject(side),
            NameObject("/Height"): NumberObject(side),
            NameObject("/ColorSpace"): NameObject("/DeviceRGB"),
            NameObject("/BitsPerComponent"): NumberObject(8),
        }
    )
    page = writer.pages[0]
    page[NameObject("/Resources")][NameObject("/XObject")] = DictionaryObject(
        {NameObject("/Im1"): writer._add_object(packed)}
    )
    drawing = DecodedStreamObject()
    drawing.set_data(b"q 595 0 0 842 0 0 cm /Im1 Do Q")
    page[NameObject("/Contents")] = ArrayObject([writer._add_object(drawing), page.raw_get("/Contents")])
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_a_picture_of_a_billion_pixels_is_no_document() -> None:
    for name in ("a.png", "a.pdf", "a.docx", "a.txt", "a.html"):
        assert sniff(name, io.BytesIO(make_png(SIDE, SIDE))) is None


def test_a_picture_of_a_billion_pixels_in_a_pdf_is_not_unpacked(file: IO[bytes]) -> None:
    blocks = extract_blocks(write(file, make_pdf_with_picture("Fair queues", SIDE)), ContentType.PDF, limits=LITTLE)
    assert [block.text.strip() for block in blocks] == ["Fair queues"]


def test_a_picture_of_a_billion_pixels_in_word_is_not_unpacked(file: IO[bytes]) -> None:
    document = docx.Document()
    document.add_paragraph("Fair queues")
    document.add_picture(io.BytesIO(make_png(8, 8)))
    content = save_docx(document)
    content = rewrite_docx(content, "word/media/image1.png", make_png(SIDE, SIDE))
    blocks = extract_blocks(write(file, content), ContentType.DOCX, limits=LITTLE)
    assert [block.text for block in blocks] == ["Fair queues"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/out",
        "/tmp/out",
        "..\\..\\out",
        "C:\\out",
        "word/../../out",
        "word/document.xml/../../../out",
        "a" * 5_000,
        "out\x00.xml",
        "\u202etuo",
    ],
)
def test_a_part_whose_name_leads_out_is_read_by_nobody_and_written_nowhere(
    file: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content = rewrite_docx(make_docx("Fair queues"), name, b"x")
    blocks = extract_blocks(write(file, content), ContentType.DOCX)
    assert [block.text for block in blocks] == ["Fair queues"]
    assert list(tmp_path.iterdir()) == []


def test_a_relation_that_leads_out_is_not_followed(file: IO[bytes], tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("the-machine's-own-affair")
    relations = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        f'officeDocument" Target="word/document.xml"/><Relationship Id="rId9" Type="urn:x" Target="{secret.as_uri()}"'
        ' TargetMode="External"/><Relationship Id="rId8" Type="urn:y" Target="http://127.0.0.1:1/" '
        'TargetMode="External"/></Relationships>'
    )
    content = rewrite_docx(make_docx("Fair queues"), "_rels/.rels", relations.encode())
    assert [block.text for block in extract_blocks(write(file, content), ContentType.DOCX)] == ["Fair queues"]


def bomb_of_bombs() -> bytes:
    """A document with a part that is an archive of archives: only what is named is read, and nothing twice unpacked."""
    inner = b"\0" * MIB
    for _ in range(4):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(8):
                archive.writestr(f"{number}.zip", inner)
        inner = buffer.getvalue()
    return rewrite_docx(make_docx("Fair queues"), "word/embeddings/bomb.zip", inner)


def test_an_archive_of_archives_is_not_unpacked(file: IO[bytes]) -> None:
    blocks = extract_blocks(write(file, bomb_of_bombs()), ContentType.DOCX, limits=LITTLE)
    assert [block.text for block in blocks] == ["Fair queues"]


def lying_bomb() -> bytes:
    """A document whose directory says that a part of 32 MiB has a thousand bytes."""
    content = bytearray(rewrite_docx(make_docx("x"), "word/document.xml", b"<x>" + b" " * (32 * MIB) + b"</x>"))
    size = struct.pack("<I", 32 * MIB + 7)
    assert content.count(size) >= 1
    return bytes(content.replace(size, struct.pack("<I", 1_000)))


def many_parts() -> bytes:
    buffer = io.BytesIO(make_docx("x"))
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(20_001):
            archive.writestr(f"p/{number}", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (lying_bomb(), FileDamagedError),
        (many_parts(), FileTooComplexError),
        (rewrite_docx(make_docx("x"), "word/a.bin", b"\0" * (301 * MIB)), FileTooComplexError),
    ],
    ids=["lying", "many", "large"],
)
def test_a_bomb_is_told_by_its_directory_or_stopped_by_it(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(read_docx(content))


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><x>&i;</x>"
)
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>'
PARAMETER = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><x/>'


@pytest.mark.parametrize(
    "part", ["word/document.xml", "word/styles.xml", "_rels/.rels", DOCX_TYPES, "docProps/core.xml"]
)
@pytest.mark.parametrize("xml", [BILLION_LAUGHS, EXTERNAL, PARAMETER], ids=["laughs", "external", "parameter"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_entities_are_refused_in_every_part_and_encoding(part: str, xml: str, encoding: str) -> None:
    with pytest.raises(FileDamagedError):
        list(read_docx(rewrite_docx(make_docx("x"), part, xml.encode(encoding))))


def test_entities_in_an_encoding_that_hides_them_are_not_resolved() -> None:
    hidden = '<?xml version="1.0" encoding="UTF-7"?>' + ENTITY_BODY.encode("utf-7").decode("ascii")
    with pytest.raises(FileDamagedError):
        list(read_docx(rewrite_docx(make_docx("x"), "word/document.xml", hidden.encode("ascii"))))


ENTITY_BODY = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize("content_type", [ContentType.PDF, ContentType.DOCX])
def test_a_file_cut_anywhere_is_refused_or_whole_never_half(file: IO[bytes], content_type: ContentType) -> None:
    content = make_pdf("Fair queues") if content_type is ContentType.PDF else make_docx("Fair queues")
    for part in range(1, 10):
        file.seek(0)
        file.truncate()
        with pytest.raises((FileDamagedError, FileEncryptedError, FileTooComplexError)):
            extract_blocks(write(file, content[: len(content) * part // 10]), content_type)


@pytest.mark.parametrize(
    ("entries", "size"), [(MAX_PARTS + 1, 100), (65_535, 100), (3, MAX_DIRECTORY_BYTES + 1), (3, 0xFFFFFFFF)]
)
def test_directory_of_an_archive_is_not_read_if_its_end_record_declares_too_much(
    entries: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", None)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, size, 0, 0)
    with pytest.raises(FileTooComplexError):
        list(read_docx(make_docx("x")[:-22] + end))


def test_archive_without_an_end_record_is_damaged() -> None:
    with pytest.raises(FileDamagedError):
        list(read_docx(make_docx("x")[:-22]))


def test_older_word_document_under_the_newer_name_is_named() -> None:
    with pytest.raises(FileDamagedError, match="older Word"):
        list(read_docx(OLE_MAGIC + b"\0" * 600))
