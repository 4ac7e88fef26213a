"""Reading of XML from outside: without entities, element by element, and only so many elements."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any

from lxml import etree

from scheduling.kit.base import PermanentError
from workloads.documents.extraction.errors import FileDamagedError
from workloads.documents.extraction.office import local_name, refuse_entities

MAX_XML_BYTES = 50 * 1024 * 1024
MAX_ELEMENTS = 1_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31


def unpack(data: bytes) -> bytes:
    """Return XML that may be compressed by gzip; raise PermanentError if it is damaged or larger than 50 MiB."""
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        unpacked = zlib.decompressobj(_GZIP_WBITS).decompress(data, MAX_XML_BYTES + 1)
    except zlib.error as error:
        raise PermanentError(f"The file is not valid gzip: {error}", code="xml_invalid") from error
    if len(unpacked) > MAX_XML_BYTES:
        raise PermanentError(f"The file has more than {MAX_XML_BYTES} bytes unpacked.", code="xml_too_large")
    return unpacked


def read_elements(data: bytes, names: frozenset[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each element with one of the local names, and the texts of its children by their local names.

    Its own text has the name ''.
    Raise PermanentError, with the code ``xml_invalid`` if the XML is damaged or declares entities, and with
    ``xml_too_large`` if it has more than a million elements.
    """
    try:
        refuse_entities(data)
        parser = etree.iterparse(io.BytesIO(data), tag="{*}*", resolve_entities=False, no_network=True)
        for number, (_, element) in enumerate(parser):
            if number >= MAX_ELEMENTS:
                raise PermanentError(f"The XML has more than {MAX_ELEMENTS} elements.", code="xml_too_large")
            if (name := local_name(element)) in names:
                parts = [("", element), *((local_name(child), child) for child in element.iterchildren("{*}*"))]
                yield name, {part: (found.text or "").strip() for part, found in parts}
                _forget(element)
    except (etree.XMLSyntaxError, FileDamagedError) as error:
        raise PermanentError(f"It is not valid XML: {error}", code="xml_invalid") from error


def _forget(element: Any) -> None:
    """Free the memory of an element that has been read, and of those before it."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
