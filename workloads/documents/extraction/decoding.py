"""Decoding of text files whose encoding is not known."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from workloads.documents.extraction.errors import FileDamagedError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*+=\s*+["']?+\s*+([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_UNITS_OF_MANY_BYTES = ["utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"]
# Statistics need no more than this of a long file.
_SAMPLE_BYTES = 256 * 1024


def decode(data: bytes, *, is_html: bool = False) -> str:
    """Return the bytes as text. The encoding comes from a byte-order mark, else UTF-8 is tried, then guesses.

    The guesses are the charset that an HTML page declares, and statistics. Raise `FileDamagedError` if the bytes are
    text in no encoding.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    for encoding in _candidates(data, is_html=is_html):
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" not in text:
            return text
    raise FileDamagedError("The file is not text in any known encoding.")


def _candidates(data: bytes, *, is_html: bool) -> list[str]:
    candidates = ["utf-8"]
    declared = _DECLARED.search(data[:4096]) if is_html else None
    if declared:
        name = declared[1].decode("ascii").lower()
        # Pages that declare GB2312 or GBK often use characters of the larger set, as browsers assume.
        candidates.append("gb18030" if name in {"gb2312", "gbk"} else name)
    # Text of two-byte units has spaces or line ends, hence zero bytes; without any, short GBK would pass for UTF-16.
    excluded = [] if b"\0" in data else _UNITS_OF_MANY_BYTES
    guess = from_bytes(data[:_SAMPLE_BYTES], cp_exclusion=excluded).best()
    if guess is not None:
        candidates.append(guess.encoding)
        if guess.encoding in {"gb2312", "gbk"}:
            candidates.append("gb18030")
    return candidates
