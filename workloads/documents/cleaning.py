"""Cleaning of extracted blocks: control characters, spaces, blank lines, and addresses if wanted.

Code and tables keep their spaces, line ends and blank lines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from workloads.documents.blocks import Block

# Control characters except tab and newline, soft hyphens, zero-width spaces, word joiners, bidi controls, byte-order
# marks, and unpaired surrogates, which PostgreSQL rejects as it does NUL. U+200C and U+200D stay: Persian, Indic
# scripts and emoji need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_BLANK_LINES = re.compile(r"\n[ \n]*\n")
_BLANK_ENDS = re.compile(r"\A(?:[ \t]*+\n)++")
_URLS = re.compile(r"\b(?:https?://|www\.)[^\s<>\"'）】」』]+")
# Bounded parts, so that a long run of letters is scanned once.
_EMAILS = re.compile(r"\b[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")


def clean_blocks(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks with clean text, without those that are then empty."""
    return [tidy for block in blocks if (tidy := _with_text(block, block.text)).text]


def remove_addresses(blocks: Iterable[Block], *, urls: bool, emails: bool) -> list[Block]:
    """Return cleaned blocks without their web or e-mail addresses, and without blocks that are then empty."""
    patterns = [pattern for pattern, is_wanted in ((_URLS, urls), (_EMAILS, emails)) if is_wanted]
    kept = []
    for block in blocks:
        text = block.text
        for pattern in patterns:
            text = pattern.sub("", text)
        left = block if text is block.text else _with_text(block, text)
        if left.text:
            kept.append(left)
    return kept


def clean_text(text: str) -> str:
    """Return the text in Unicode form NFC, without unprintable characters, repeated spaces and repeated blank lines."""
    text = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text))
    text = _SPACES.sub(" ", _UNPRINTABLE.sub("", text))
    lines = (line.strip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def clean_verbatim(text: str) -> str:
    """Return the text in Unicode form NFC, without unprintable characters and without blank lines at its ends."""
    text = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text))
    return _BLANK_ENDS.sub("", _UNPRINTABLE.sub("", text)).rstrip()


def _with_text(block: Block, text: str) -> Block:
    """Return the block with this text, cleaned as its kind demands."""
    if not block.is_verbatim:
        return replace(block, text=clean_text(text))
    return replace(block, text=clean_verbatim(text), header=clean_verbatim(block.header))
