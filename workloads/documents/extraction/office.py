"""The archives of office documents (.docx, .xlsx, .pptx): their check before they are read, and their parts."""

from __future__ import annotations

import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from lxml import etree

from workloads.documents.blocks import Facts
from workloads.documents.extraction.errors import FileDamagedError, FileEncryptedError, FileTooComplexError
from workloads.documents.extraction.limits import (
    MAX_DIRECTORY_BYTES,
    MAX_PACKING_RATIO,
    MAX_PARTS,
    MAX_UNPACKED_BYTES,
    MIN_BYTES_FOR_RATIO,
)
from workloads.documents.extraction.sniffing import OLE_MAGIC, OLE_STREAM_OF_ENCRYPTED_DOCX

_ENCRYPTED_FLAG = 0x1
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")
# Folders of an archive whose text is not read.
_UNREAD = {"/embeddings/": "embedded files", "/diagrams/data": "diagrams"}
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError)


def refuse_old_format(data: bytes, suffix: str) -> None:
    """Raise `FileEncryptedError` or `FileDamagedError` for an OLE file: an encrypted document, or one of old Office."""
    if data.startswith(OLE_MAGIC):
        if OLE_STREAM_OF_ENCRYPTED_DOCX in data:
            raise FileEncryptedError
        raise FileDamagedError(f"The file has an old Office format, not that of a {suffix}: save it as {suffix}.")


def inspect_archive(data: bytes, facts: Facts) -> None:
    """Reject bombs by the archive's directory, and XML entities by the parts' content; warn of parts that are not read.

    A false directory gains nothing: no more than the declared size of a part is unpacked.
    """
    file = _ArchiveFile(data)
    try:
        with zipfile.ZipFile(file) as archive:
            file.is_open = True
            parts = archive.infolist()
            _refuse_bombs(parts)
            if any(part.flag_bits & _ENCRYPTED_FLAG for part in parts):
                raise FileEncryptedError
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    refuse_entities(archive.read(part))
            for folder, what in _UNREAD.items():
                if any(folder in part.filename for part in parts):
                    facts.warn(f"The {what} of the document are not indexed.")
    except _ARCHIVE_ERRORS as error:
        raise FileDamagedError("The file is truncated or damaged.") from error


class _ArchiveFile(io.BytesIO):
    """A file that `zipfile` cannot open if the archive's directory is too large.

    `zipfile` reads a directory in one piece and then makes an object of several hundred bytes for each part. Nothing
    else that it reads to open an archive is larger than 64 KiB.
    """

    is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_open and size is not None and size > MAX_DIRECTORY_BYTES:
            raise FileTooComplexError(f"The file has a directory of {size} bytes.")
        return super().read(size)


def _refuse_bombs(parts: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED_BYTES:
        raise FileTooComplexError(f"The file is too large unpacked: {unpacked} bytes in {len(parts)} parts.")
    if len({part.filename for part in parts}) < len(parts):
        raise FileDamagedError("The file has two parts of one name.")
    for part in parts:
        if part.file_size > MIN_BYTES_FOR_RATIO and part.file_size > MAX_PACKING_RATIO * max(part.compress_size, 1):
            raise FileTooComplexError("The file is a compression bomb.")


def refuse_entities(xml: bytes) -> None:
    """Raise `FileDamagedError` if XML has a document type declaration."""
    # The format forbids document type declarations (ECMA-376 part 2): one serves to read other files or to expand
    # without bound. Without its zero bytes, UTF-16 reads as ASCII does.
    plain = xml.replace(b"\0", b"") if b"\0" in xml[:64] else xml
    if any(declaration in plain for declaration in _DECLARATIONS):
        raise FileDamagedError("The file declares XML entities, which the format forbids.")


def office_errors() -> tuple[type[Exception], ...]:
    """Return the exception classes that reading the parts of a damaged document raises."""
    return (KeyError, ValueError, IndexError, TypeError, AttributeError, etree.XMLSyntaxError, *_ARCHIVE_ERRORS)


def local_name(element: Any) -> str:
    """Return the name of an element without its namespace; an empty string for None."""
    return "" if element is None else str(element.tag).rpartition("}")[2]


class Package:
    """The parts of an office document whose archive has been inspected."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())

    def has(self, part: str) -> bool:
        """Return True if the document has the part."""
        return part in self._names

    def read(self, part: str) -> Any:
        """Return the root element of a part; raise KeyError if there is no such part."""
        return etree.fromstring(self._archive.read(part), etree.XMLParser(resolve_entities=False, no_network=True))

    def iterate(self, part: str, tag: str) -> Iterator[Any]:
        """Yield the elements of this tag in a part, one at a time."""
        with self._archive.open(part) as file:
            for _, element in etree.iterparse(file, tag=tag, resolve_entities=False, no_network=True):
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]

    def relations(self, part: str) -> dict[str, str]:
        """Return the parts to which a part refers, by the identifiers of the references."""
        folder, name = posixpath.split(part)
        source = f"{folder}/_rels/{name}.rels"
        if not self.has(source):
            return {}
        inner = (row for row in self.read(source) if row.get("TargetMode") != "External")
        return {
            row.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, row.get("Target", ""))).lstrip("/")
            for row in inner
        }
