"""Decoding of text files whose encoding is not known."""

from __future__ import annotations

import codecs
import encodings
import re
from collections.abc import Iterator
from encodings.aliases import aliases

from charset_normalizer import from_bytes

from workloads.documents.blocks import Facts
from workloads.documents.extraction.errors import FileDamagedError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*+=\s*+["']?+\s*+([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_XML_DECLARED = re.compile(rb"""\A\s*+<\?xml[^>]{0,200}encoding\s*+=\s*+["']([A-Za-z0-9_.:-]{1,40})""")
_UNITS_OF_MANY_BYTES = ["utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"]
# Statistics need no more than this of a long file.
_SAMPLE_BYTES = 256 * 1024
# Bytes beyond ASCII below which statistics cannot tell encodings apart.
_FEW_BYTES = 64
# Text with fewer invalid characters than this is UTF-8 with errors.
_MAX_INVALID_SHARE = 0.01
_INVALID = "\ufffd"
# Families of which statistics often name the wrong member: `dějà` and `déjà` are equal bytes.
_LATIN = frozenset(
    re.findall(
        r"\w+",
        "cp1250 cp1252 cp1254 cp1257 iso8859_1 iso8859_2 iso8859_3 iso8859_4 iso8859_9 iso8859_10 iso8859_13 iso8859_14"
        " iso8859_15 iso8859_16 mac_iceland mac_latin2 mac_roman mac_turkish hp_roman8 latin_1",
    )
)
_NOT_WESTERN = re.compile(
    "[^\\x01-\\x7f\\xa0§°«»¡¿·©®™£€´’‘‚“”„–—…•àâäãáåæçéèêëíìîïñóòôöõøœúùûüÿßÀÂÄÃÁÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜŸªº½¼¾²]"
)
# In other languages than those of Western Europe, letters beyond ASCII stand side by side.
_LONG_RUN = re.compile(rb"[\x80-\xff]{3}")
# Python knows them and files do not use them; short texts of Western Europe pass for them.
_UNUSED = ["cp1006", "kz1048", "ptcp154", "hp_roman8", "mac_iceland", "mac_turkish"]
# Python's codecs of text that are no encodings of files.
_NOT_OF_FILES = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
# Encodings whose characters have several bytes: what is decoded by one without an error is in it.
_PROVEN = ("gb", "big5", "euc", "shift", "iso2022", "johab", "hz", "cp932", "cp949", "cp950", "utf")


def canonical_encoding(name: str) -> str:
    """Return the name that Python gives to an encoding of text; raise LookupError if there is none of this name."""
    codec = aliases.get(encodings.normalize_encoding(name).lower(), encodings.normalize_encoding(name).lower())
    if codec not in set(aliases.values()) | {"utf_8_sig", "cp65001"} or codec in _NOT_OF_FILES:
        raise LookupError(name)
    b"a".decode(codec, errors="ignore")  # raises LookupError for codecs that make no text
    return codecs.lookup(codec).name


def decode(data: bytes, facts: Facts, *, is_html: bool = False) -> str:
    """Return the bytes as text, and note its encoding and what is doubtful about it in the facts.

    The encoding is the one that the facts name, else that of a byte-order mark, else UTF-8 is tried, then what an HTML
    or XML file declares, then statistics. Raise `FileDamagedError` if the bytes are text in no encoding.
    """
    given = facts.encoding
    if not given:
        given = next((encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)), "")
    if given:
        facts.encoding = given
        return _with_warning(data.decode(given, errors="replace"), facts)
    for encoding in _candidates(data, is_html=is_html):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            facts.encoding = codecs.lookup(encoding).name
            return _with_warning(text, facts)
    text, facts.encoding = _guess(data)
    beyond = sum(byte > 0x7F for byte in data[:_SAMPLE_BYTES])
    if not facts.encoding.startswith(_PROVEN) or beyond < _FEW_BYTES:
        facts.warn(f"The encoding {facts.encoding} is a guess. If words look wrong, index the file with its encoding.")
    return _with_warning(text, facts)


def _candidates(data: bytes, *, is_html: bool) -> Iterator[str]:
    yield "utf-8"
    declared = (_DECLARED.search(data[:4096]) if is_html else None) or _XML_DECLARED.search(data[:4096])
    if declared:
        yield from _declared(declared[1].decode("ascii").lower())


def _declared(name: str) -> Iterator[str]:
    try:
        encoding = canonical_encoding(name)
    except LookupError:
        return
    # Pages that declare GB2312 or GBK often use characters of the larger set, as browsers assume. A declaration that
    # can be read as ASCII is not in UTF-16 or UTF-32.
    if not encoding.startswith(("utf-16", "utf-32")):
        yield "gb18030" if encoding in {"gb2312", "gbk"} else encoding


def _guess(data: bytes) -> tuple[str, str]:
    """Return the text and its encoding by statistics; raise `FileDamagedError` if it is text in none."""
    sound = data.decode("utf-8", errors="replace")
    invalid, others = sound.count(_INVALID), len(sound) - len(sound.encode("ascii", errors="ignore"))
    if "\0" not in sound and invalid <= _MAX_INVALID_SHARE * len(sound) and invalid * 10 < others:
        return sound, "utf-8"
    # Text of two-byte units has spaces or line ends, hence zero bytes; without any, short GBK would pass for UTF-16.
    excluded = [] if b"\0" in data else _UNITS_OF_MANY_BYTES
    best = from_bytes(data[:_SAMPLE_BYTES], cp_exclusion=[*excluded, *_UNUSED]).best()
    names = [best.encoding] if best else []
    if (
        best is None
        or best.encoding in _LATIN
        or not (best.encoding.startswith(_PROVEN) or _LONG_RUN.search(data[:_SAMPLE_BYTES]))
    ):
        names.insert(0, "cp1252")
    elif best.encoding in {"gb2312", "gbk"}:
        names.append("gb18030")
    for name in names:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text and (name != "cp1252" or _is_western(text)):
            return text, codecs.lookup(name).name
    raise FileDamagedError("The file is not text in any known encoding. If it is text, give its encoding.")


def _is_western(text: str) -> bool:
    """Return True if all characters beyond ASCII are letters and signs that languages of Western Europe use."""
    return not _NOT_WESTERN.search(text)


def _with_warning(text: str, facts: Facts) -> str:
    invalid = text.count(_INVALID)
    if invalid:
        share = max(100 * invalid / len(text), 0.01)
        facts.warn(
            f"{share:.2g} % of the characters are not valid in the encoding {facts.encoding}. "
            "If words are missing, index the file with its encoding."
        )
    return text
