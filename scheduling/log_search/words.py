"""Words of log lines, and a Bloom filter of them.

A word is a run of letters, digits and underscores without regard to case; of a run of Chinese, Japanese or Korean
characters, which have no spaces, each two neighbours are a word.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable

MAX_WORD_CHARACTERS = 64
# Below the size at which PostgreSQL moves a value out of its row.
FILTER_BYTES = 1_792
FILTER_BITS = FILTER_BYTES * 8
HASHES = 7
# With as many bits set, one of 4,500 words that no line has is found by mistake: about 730 words.
MAX_SET_BITS = 4_300
# Chinese, Japanese and Korean characters.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_WORD = re.compile(rf"([{_UNSPACED}]+)|[^\W{_UNSPACED}]+")


def normalize(text: str) -> str:
    """Return a text as it is compared: composed, and without regard to case."""
    return unicodedata.normalize("NFC", text).casefold()


def words_of(text: str) -> set[str]:
    """Return the words of a normalized text, the first characters of longer ones."""
    if text.isascii():
        return {word[:MAX_WORD_CHARACTERS] for word in _ASCII_WORD.findall(text)}
    words: set[str] = set()
    for found in _WORD.finditer(text):
        word = found[0]
        if found[1]:
            words.update(word[at : at + 2] for at in range(len(word) - 1))
        else:
            words.add(word[:MAX_WORD_CHARACTERS])
    return words


def positions(word: str, key: bytes) -> list[int]:
    """Return the bits of a word; ``key`` is the secret of a tenant whose words must not be guessed, else empty."""
    plain = word.encode()
    digest = hmac.digest(key, plain, "sha256") if key else hashlib.blake2b(plain, digest_size=16).digest()
    first, step = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16]) | 1
    return [(first + count * step) % FILTER_BITS for count in range(HASHES)]


class WordFilter:
    """A Bloom filter: it has each word that was added, and few others."""

    def __init__(self, stored: bytes = bytes(FILTER_BYTES)) -> None:
        self.bits = bytearray(stored)
        self._set = int.from_bytes(stored).bit_count()

    @property
    def is_full(self) -> bool:
        """Return whether further words would make it find too many words by mistake."""
        return self._set >= MAX_SET_BITS

    def add(self, places: Iterable[int]) -> None:
        """Add a word by its positions."""
        for place in places:
            # As PostgreSQL's `get_bit` numbers the bits of a `bytea`.
            bit = 1 << (place & 7)
            if not self.bits[place >> 3] & bit:
                self.bits[place >> 3] |= bit
                self._set += 1
