"""Rules of chunks' texts and places."""

from __future__ import annotations

from django.utils.translation import gettext

from tenants.exceptions import FieldInvalidError

MAX_CHUNK_CHARACTERS = 8_000
# A shorter text that two neighbours share at their border may be chance, unless it begins a word.
_CERTAIN_OVERLAP = 16
_MAX_OVERLAP = 4_000


def clean_text(text: str) -> str:
    """Return the text of a chunk with line feeds only; raise `FieldInvalidError` if it is blank or too long."""
    clean = text.replace("\r\n", "\n").replace("\x00", "")
    if not clean.strip():
        raise FieldInvalidError.at("text", gettext("It must not be empty."))
    if len(clean) > MAX_CHUNK_CHARACTERS:
        limit = {"limit": MAX_CHUNK_CHARACTERS}
        raise FieldInvalidError.at("text", gettext("It must not be longer than %(limit)s characters.") % limit)
    return clean


def split_text(text: str, offset: int) -> tuple[str, str]:
    """Return the text before and after the offset; raise `FieldInvalidError` if one of them is blank."""
    before, after = text[:offset].rstrip(), text[offset:].lstrip("\n")
    if offset < 1 or not before or not after.strip():
        detail = gettext("Both parts must have text; the chunk has %(length)s characters.")
        raise FieldInvalidError.at("offset", detail % {"length": len(text)})
    return before, after


def join_texts(first: str, second: str) -> str:
    """Return two neighbours as one text, without the text that the second repeats from the first."""
    return f"{first}\n{second}" if not (shared := shared_length(first, second)) else first + second[shared:]


def shared_length(first: str, second: str) -> int:
    """Return the length of the longest end of ``first`` that ``second`` begins with: what the splitter repeats."""
    tail = first[-_MAX_OVERLAP:]
    head = second[:_CERTAIN_OVERLAP]
    start = tail.find(head) if len(head) == _CERTAIN_OVERLAP else -1
    while start >= 0:
        if second.startswith(tail[start:]):
            return len(tail) - start
        start = tail.find(head, start + 1)
    for length in range(min(_CERTAIN_OVERLAP - 1, len(tail), len(second)), 0, -1):
        before = tail[-length - 1 : -length]
        if tail.endswith(second[:length]) and not before.isalnum():
            return length
    return 0


def place_between(before: float, after: float | None) -> float | None:
    """Return a place between two chunks, behind the first if it is the last; None if there is none left."""
    if after is None:
        return before + 1
    middle = (before + after) / 2
    return middle if before < middle < after else None
