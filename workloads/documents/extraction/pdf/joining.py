"""Joining of lines that the margin broke: hyphens by the words of the document, no blank within paths and addresses."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from workloads.documents.extraction.pdf.lines import LINE_HYPHEN

_WORD = re.compile(r"\w+(?:-\w+)*")
# Characters of scripts without spaces, with their punctuation; in Korean, words have spaces.
WITHOUT_SPACES = re.compile("[\u2e80-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")
_MARKS_OF_BOTH = "“”‘’…—"
_HYPHENS = ("-", "\u2010", "\u00ad", LINE_HYPHEN)
# Characters after which, and before which, paths and addresses are broken.
_BREAKS_AFTER, _BREAKS_BEFORE = "/.:_-=?&#%+~@,", "/._=?&#%+~@:"
# Letters after a break that tell the word, if the whole word is not in the document but another of its forms.
_STEM_LETTERS = 3
_MAX_TAIL = 90


class Joiner:
    """Rules for joining, with the words of one document."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Count the words of the lines, without those that a line end broke."""
        whole: list[str] = []
        is_broken = False
        for line in lines:
            text = line.partition(" ")[2] if is_broken else line
            is_broken = line.endswith(_HYPHENS)
            whole.append(text.rpartition(" ")[0] if is_broken else text)
        self._counts = Counter(_WORD.findall("\n".join(whole).casefold()))
        self._sorted = sorted(self._counts)

    def join(self, parts: Sequence[tuple[str, bool, bool]]) -> str:
        """Return one text of lines, each with whether it begins and ends in a font of fixed pitch."""
        if not parts:
            return ""
        joined = [parts[0][0].rstrip()]
        for (_before, _, ends_mono), (after, begins_mono, _) in itertools.pairwise(parts):
            font = (ends_mono, begins_mono)
            joined[-1], space = self._seam(joined[-1], after.lstrip(), font)
            joined += [space, after.strip()]
        return "".join(joined).replace(LINE_HYPHEN, "-")

    def _seam(self, before: str, after: str, font: tuple[bool, bool]) -> tuple[str, str]:
        """Return the end of a line as it is joined with the next, and what separates them."""
        if not before or not after:
            return before, ""
        if before[-1] in _HYPHENS and len(before) > 1 and before[-2] not in " -":
            return before[:-1] + ("-" if self._has_hyphen(before[:-1], after) else ""), ""
        if _is_unspaced(before[-1], after[0]):
            return before, ""
        return before, "" if self._is_within_path(before, after, font) else " "

    def _has_hyphen(self, before: str, after: str) -> bool:
        """Return whether the hyphen between two lines belongs to the word."""
        first = _WORD.match(after)
        if first is None or not before[-1].isalpha() or not after[0].isalpha():
            return True
        left, right = _last_word(before).casefold(), first[0].casefold()
        joined, hyphenated = self._counts[left + right], self._counts[f"{left}-{right}"]
        if joined or hyphenated:
            return hyphenated > joined
        if after[0].isupper() or _is_technical(before.rsplit(None, 1)[-1]) or _is_technical(after.split(None, 1)[0]):
            return True
        if "-" in left or self._has_prefix(f"{left}-{right[:_STEM_LETTERS]}"):
            return True
        if self._has_prefix(left + right[:_STEM_LETTERS]):
            return False
        return min(len(left), len(right)) > 2 and bool(self._counts[left] and self._counts[right])

    def _has_prefix(self, prefix: str) -> bool:
        place = bisect_left(self._sorted, prefix)
        return place < len(self._sorted) and self._sorted[place].startswith(prefix)

    def _is_within_path(self, before: str, after: str, font: tuple[bool, bool]) -> bool:
        """Return whether a path or an address goes on in the next line."""
        if font[0] != font[1]:
            return False
        is_code = all(font)
        left = before[-_MAX_TAIL:].rsplit(None, 1)[-1]
        right = after[:_MAX_TAIL].split(None, 1)[0]
        if before[-1] == "/":
            return left != "/" or bool(self._counts[_first_word(right)])
        if is_code and (before[-1] in _BREAKS_AFTER or (after[0] in _BREAKS_BEFORE and len(right) > 1)):
            return True
        if "://" in left or "@" in left:
            is_open = before[-1] in "_-=?&#%+~@" or (before[-1] == "." and after[0].islower())
            return is_open or (after[0] in _BREAKS_BEFORE and len(right) > 1)
        return after.startswith("//") and before[-1] == ":"


def _last_word(text: str) -> str:
    start = len(text)
    while start > max(0, len(text) - _MAX_TAIL) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    return text[start:]


def _first_word(text: str) -> str:
    match = _WORD.search(text.casefold())
    return match[0] if match else ""


def _is_technical(token: str) -> bool:
    """Return whether a word is a path, an address or a name of a program, which is not divided into syllables."""
    return any(sign in token.rstrip(".,;:)") for sign in "/@_.=<>*")


def _is_unspaced(before: str, after: str) -> bool:
    """Return whether no space is between two characters: both are of such a script, or one is and one is a mark."""
    found = (WITHOUT_SPACES.match(before) is not None, WITHOUT_SPACES.match(after) is not None)
    return all(found) or (found[0] and after in _MARKS_OF_BOTH) or (found[1] and before in _MARKS_OF_BOTH)
