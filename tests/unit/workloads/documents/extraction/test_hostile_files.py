"""Malicious files: endless pictures, archives with path traversal, entities."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import docx
import pypdf
import pytest
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

from tests.unit.workloads.documents.extraction.makers import DOCX_TYPES, make_docx, make_pdf, rewrite_docx, save_docx
from workloads.documents.blocks import Facts
from workloads.documents.extraction.docx import read_docx
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.extractor import extract_file
from workloads.documents.extraction.limits import MAX_DIRECTORY_BYTES, MAX_PARTS, MIB, ParsingLimits
from workloads.documents.extraction.sniffing import OLE_MAGIC, ContentType, sniff

SIDE = 65_535  # squared: four billion pixels
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
    """Return a picture that declares its size and contains one row."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    row = zlib.compress(b"\0" * (width * 3 + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def make_pdf_with_picture(text: str, side: int) -> bytes:
    """Return a page with a line of text over a picture whose decompressed bytes would be gigabytes."""
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


def test_picture_of_a_billion_pixels_is_not_a_document() -> None:
    for name in ("a.png", "a.pdf", "a.docx", "a.txt", "a.html"):
        assert sniff(name, io.BytesIO(make_png(SIDE, SIDE))) is None


@pytest.mark.process
def test_huge_picture_in_pdf_is_not_decompressed(file: IO[bytes]) -> None:
    blocks = extract_file(
        write(file, make_pdf_with_picture("Fair queues", SIDE)), ContentType.PDF, limits=LITTLE
    ).blocks
    assert [block.text.strip() for block in blocks] == ["Fair queues"]


@pytest.mark.process
def test_huge_picture_in_docx_is_not_decompressed(file: IO[bytes]) -> None:
    document = docx.Document()
    document.add_paragraph("Fair queues")
    document.add_picture(io.BytesIO(make_png(8, 8)))
    content = save_docx(document)
    content = rewrite_docx(content, "word/media/image1.png", make_png(SIDE, SIDE))
    blocks = extract_file(write(file, content), ContentType.DOCX, limits=LITTLE).blocks
    assert [block.text for block in blocks] == ["Fair queues"]


@pytest.mark.process
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
def test_part_with_path_traversal_is_neither_read_nor_written(
    file: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content = rewrite_docx(make_docx("Fair queues"), name, b"x")
    blocks = extract_file(write(file, content), ContentType.DOCX).blocks
    assert [block.text for block in blocks] == ["Fair queues"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_external_relation_is_not_followed(file: IO[bytes], tmp_path: Path) -> None:
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
    assert [block.text for block in extract_file(write(file, content), ContentType.DOCX).blocks] == ["Fair queues"]


def bomb_of_bombs() -> bytes:
    """Return a document with a nested archive: only named parts are read, and none is decompressed twice."""
    inner = b"\0" * MIB
    for _ in range(4):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(8):
                archive.writestr(f"{number}.zip", inner)
        inner = buffer.getvalue()
    return rewrite_docx(make_docx("Fair queues"), "word/embeddings/bomb.zip", inner)


@pytest.mark.process
def test_nested_archive_is_not_decompressed(file: IO[bytes]) -> None:
    blocks = extract_file(write(file, bomb_of_bombs()), ContentType.DOCX, limits=LITTLE).blocks
    assert [block.text for block in blocks] == ["Fair queues"]


def bomb_with_false_directory() -> bytes:
    """Return a document whose directory declares a thousand bytes for a part of 32 MiB."""
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


def large_part() -> bytes:
    return rewrite_docx(make_docx("x"), "word/a.bin", b"\0" * (301 * MIB))


@pytest.mark.parametrize(
    ("make_bomb", "error"),
    [
        (bomb_with_false_directory, FileDamagedError),
        (many_parts, FileTooComplexError),
        (large_part, FileTooComplexError),
    ],
)
def test_archive_bomb_is_found_by_its_directory_or_stopped(
    make_bomb: Callable[[], bytes], error: type[Exception]
) -> None:
    with pytest.raises(error):
        list(read_docx(make_bomb(), Facts()))


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
        list(read_docx(rewrite_docx(make_docx("x"), part, xml.encode(encoding)), Facts()))


def test_entities_in_utf7_are_not_resolved() -> None:
    hidden = '<?xml version="1.0" encoding="UTF-7"?>' + ENTITY_BODY.encode("utf-7").decode("ascii")
    with pytest.raises(FileDamagedError):
        list(read_docx(rewrite_docx(make_docx("x"), "word/document.xml", hidden.encode("ascii")), Facts()))


ENTITY_BODY = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.process
@pytest.mark.parametrize("content_type", [ContentType.PDF, ContentType.DOCX])
def test_truncated_file_is_refused(file: IO[bytes], content_type: ContentType) -> None:
    content = make_pdf("Fair queues") if content_type is ContentType.PDF else make_docx("Fair queues")
    for part in range(1, 10):
        file.seek(0)
        file.truncate()
        with pytest.raises((FileDamagedError, FileEncryptedError, FileTooComplexError)):
            extract_file(write(file, content[: len(content) * part // 10]), content_type)


def end_record(entries: int, size: int) -> bytes:
    """Return the end record of an archive without a comment, with so many parts and bytes of directory."""
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, size, 0, 0)


def test_archive_with_a_large_directory_is_refused_before_the_directory_is_read() -> None:
    # Read, it would be a damaged one.
    directory = bytes(MAX_DIRECTORY_BYTES + 1)
    with pytest.raises(FileTooComplexError, match=f"directory of {len(directory)} bytes"):
        list(read_docx(directory + end_record(3, len(directory)), Facts()))
    with pytest.raises(FileDamagedError):
        list(read_docx(directory[1:] + end_record(3, len(directory) - 1), Facts()))


@pytest.mark.parametrize(
    ("entries", "size"), [(MAX_PARTS + 1, 100), (65_535, 100), (3, MAX_DIRECTORY_BYTES + 1), (3, 0xFFFFFFFF)]
)
def test_archive_whose_end_record_declares_another_directory_is_damaged(entries: int, size: int) -> None:
    with pytest.raises(FileDamagedError):
        list(read_docx(make_docx("x")[:-22] + end_record(entries, size), Facts()))


def test_part_larger_than_a_directory_may_be_is_read() -> None:
    noise = random.Random(0).randbytes(MAX_DIRECTORY_BYTES + 1)  # does not get smaller
    content = rewrite_docx(make_docx("Fair queues"), "customXml/noise.xml", noise)
    assert [block.text for block in read_docx(content, Facts())] == ["Fair queues"]


def test_archive_without_an_end_record_is_damaged() -> None:
    with pytest.raises(FileDamagedError):
        list(read_docx(make_docx("x")[:-22], Facts()))


def test_older_word_document_with_the_newer_extension_is_named() -> None:
    with pytest.raises(FileDamagedError, match="old Office"):
        list(read_docx(OLE_MAGIC + b"\0" * 600, Facts()))
