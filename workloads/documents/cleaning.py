"""Cleaning of extracted blocks: control characters, running page headers, and lines broken by the margin.

Code and tables keep their spaces, line ends and blank lines.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from workloads.documents.blocks import Block, BlockKind

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
_HYPHENATED = re.compile(r"(?<=[a-zß-ÿ])[-\u2010]\n(?=[a-zß-ÿ])")
_DIGITS = re.compile(r"\d+")
_URLS = re.compile(r"\b(?:https?://|www\.)[^\s<>\"'）】」』]+")
# Bounded parts, so that a long run of letters is scanned once.
_EMAILS = re.compile(r"\b[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_SENTENCE_END = tuple(".!?:;…。！？：；」』”)")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")

# A line at least this long, relative to the longest of its page, was broken by the margin.
_FULL_LINE_SHARE = 0.6
# On fewer pages a repeated line may belong to the text.
_MIN_PAGES_FOR_RUNNING_LINES = 4


def clean_blocks(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks with clean text, without page headers and footers, and without blocks that are then empty."""
    pages: list[Block] = []
    cleaned: list[Block] = []
    for block in blocks:
        tidy = _with_text(block, block.text)
        cleaned.append(tidy)
        if _is_page(block):
            pages.append(tidy)
    running = _running_lines([page.text for page in pages])
    result = []
    for block in cleaned:
        text = block.text
        if _is_page(block):
            text = unwrap_lines(_without_running_lines(text, running))
        if text:
            result.append(block if text is block.text else replace(block, text=text))
    return result


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


def unwrap_lines(text: str) -> str:
    """Return the text with lines joined that the margin had broken, without a space between two CJK characters."""
    text = _HYPHENATED.sub("", text)
    lines = text.split("\n")
    full = _FULL_LINE_SHARE * max(len(line) for line in lines)
    joined: list[str] = []
    is_open = False  # whether the last line continues in the next
    for line in lines:
        if joined and is_open and line:
            tight = _CJK.match(joined[-1][-1]) and _CJK.match(line[0])
            joined[-1] += line if tight else f" {line}"
        else:
            joined.append(line)
        is_open = bool(line) and len(line) >= full and not line.endswith(_SENTENCE_END)
    return "\n".join(joined)


def _with_text(block: Block, text: str) -> Block:
    """Return the block with this text, cleaned as its kind demands."""
    if not block.is_verbatim:
        return replace(block, text=clean_text(text))
    return replace(block, text=clean_verbatim(text), header=clean_verbatim(block.header))


def _is_page(block: Block) -> bool:
    """Return True for the paragraphs of a format with pages, whose lines the margin has broken."""
    return "page" in block.location and block.kind is BlockKind.PARAGRAPH


def _edge_lines(page: str) -> set[str]:
    lines = page.split("\n")
    return {_DIGITS.sub("#", line) for line in (lines[0], lines[-1]) if line}


def _running_lines(pages: Sequence[str]) -> frozenset[str]:
    """Return first and last lines that more than half of the pages share, digits ignored."""
    if len(pages) < _MIN_PAGES_FOR_RUNNING_LINES:
        return frozenset()
    counts = Counter(line for page in pages for line in _edge_lines(page))
    return frozenset(line for line, count in counts.items() if count > len(pages) / 2)


def _without_running_lines(page: str, running: frozenset[str]) -> str:
    lines = page.split("\n")
    if running and lines and _DIGITS.sub("#", lines[0]) in running:
        lines = lines[1:]
    if running and lines and _DIGITS.sub("#", lines[-1]) in running:
        lines = lines[:-1]
    return "\n".join(lines).strip()
