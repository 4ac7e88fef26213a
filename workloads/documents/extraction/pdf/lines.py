"""Runs of text on one baseline, read from a page by PDFium's public functions."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
from pypdfium2 import raw

# PDFium has this character for a hyphen at the end of a line, without a line end after it.
LINE_HYPHEN = "\ufffe"
# A gap of this many font sizes separates cells of a table, or columns; a justified line has smaller ones.
GAP = 1.0
# Least rise of a footnote's mark, and largest of a word that is still on the line, in font sizes.
MIN_RISE, MAX_RISE = 0.15, 0.6

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_PHYSICAL_LINE = re.compile(f"[^\r\n{LINE_HYPHEN}]+{LINE_HYPHEN}?")
_LEADER_OR_WORD = re.compile(r"(?:\. ){3,}|\S+")
_DIGITS = re.compile(r"\d+")
_NOT_BEFORE_MARK = frozenset("/-_=:#+$<>@&%(")
# A line with fewer words is read word by word; else every third; the largest advance of a
# character, and what the words between may have more.
_MIN_PROSE_WORDS, _PROSE_STEP, _MAX_ADVANCE, _PROSE_SLACK = 9, 3, 0.55, 0.6
_MONO_NAME = re.compile(
    rb"mono|courier|consol|typewriter|menlo|monaco|inconsol|fixed|code|tt(?:[0-9-]|$)",
    re.IGNORECASE,
)
# Marks that a listing's line goes on in the next, or is such a continuation.
WRAP_MARKS = "←↩↪↳⤶⏎˓→␣"
_FIXED_PITCH_FLAG = 0x1
_NAME_BYTES = 128


@dataclass(slots=True)
class Line:
    """A run of text without a wide gap. Coordinates are in points; ``base`` is counted downwards."""

    text: str
    left: float
    right: float
    base: float
    size: float
    font: bytes
    begins_mono: bool
    ends_mono: bool
    is_mono: bool = False
    # Places of the words, for a line of fixed pitch; and the advance of a character.
    words: tuple[tuple[float, str], ...] = ()
    pitch: float = 0.0
    # Offsets of raised digits in the text.
    raised: tuple[tuple[int, int], ...] = ()


# Offsets of a word in the page's text; and where it begins.
type _Span = tuple[int, int]
type _Word = tuple[int, int, float]


class LineReader:
    """Reader of the lines of one document. It keeps the buffers of its calls, which are many."""

    def __init__(self) -> None:
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._edges = tuple(ctypes.c_double() for _ in range(4))
        self._box, self._matrix = raw.FS_RECTF(), raw.FS_MATRIX()
        self._name, self._flags = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_int()
        self._mono: dict[bytes, bool] = {}
        # The fonts at offsets of the present page.
        self._fonts: dict[int, tuple[bytes, bool]] = {}
        self._turn = 0

    def read(self, page: pypdfium2.PdfTextPage) -> list[list[Line]]:
        """Return the lines of a page in the order of its content, by their turn: most lines first."""
        self._page = page.raw
        self._fonts.clear()
        text = _text_of(page)
        turned: dict[int, list[Line]] = {}
        for match in _PHYSICAL_LINE.finditer(text):
            spans = [found.span() for found in _LEADER_OR_WORD.finditer(text, *match.span())]
            if spans:
                lines = list(self._lines_of(text, spans))
                turned.setdefault(self._turn, []).extend(lines)
        return sorted(turned.values(), key=len, reverse=True)

    def _lines_of(self, text: str, spans: list[_Span]) -> Iterator[Line]:
        """Yield the lines that PDFium has as one: it ends at wide gaps, and where the words leave the baseline."""
        main = _typical(spans)
        size = self._size_at(main[0])
        place, base = self._place_of(main[0])
        first, last = self._place_of(spans[0][0]), self._place_of(spans[-1][0])
        is_level = abs(last[1] - base) <= MAX_RISE * size
        if is_level and len(spans) >= _MIN_PROSE_WORDS and self._is_prose(text, spans, size, first[0], last[0]):
            words = [(*spans[0], first[0]), (*main, place), (*spans[-1], last[0])]
            yield self._line(text, words, size, base)
            return
        words = []
        reach = math.inf
        for start, end in spans:
            left, height = self._place_of(start)
            # The advance of most words shows that there is no gap; only else the end of the word is looked up.
            if (left > reach and left - self._right_of(words[-1][1] - 1) > GAP * size) or (
                words and not is_level and abs(height - base) > MAX_RISE * size
            ):
                yield self._line(text, words)
                words, base = [], height
            words.append((start, end, left))
            reach = left + size * (0.5 * (end - start) + 0.8)
        yield self._line(text, words)

    def _is_prose(self, text: str, spans: list[_Span], size: float, first: float, last: float) -> bool:
        """Return whether a line of many words has no wide gap, by the advance of every third word, and is no listing.

        This saves a third of the time of reading, nearly all of which is calls of PDFium.
        """
        if self._may_be_listing(text, spans[0][0], spans[-1][1] - 1):
            return False
        begin = spans[0][0]
        advance = min((last - first) / (spans[-1][0] - begin), _MAX_ADVANCE * size) * 1.05
        left, start = first, begin
        for start_after, _ in spans[_PROSE_STEP:-1:_PROSE_STEP]:
            left_after = self._place_of(start_after)[0]
            if left_after - left > advance * (start_after - start) + _PROSE_SLACK * size:
                return False
            left, start = left_after, start_after
        return last - left <= advance * (spans[-1][0] - start) + _PROSE_SLACK * size

    def _line(self, text: str, words: list[_Word], size: float = 0.0, base: float = 0.0) -> Line:
        """Return the line of the words; of prose, whose size and base are known, these are a few of them."""
        begin, last = words[0][0], words[-1][1]
        start, end, left = _typical(words)
        is_prose = size > 0
        if not is_prose:
            size, base = self._size_at(start), self._place_of(start)[1]
        font, begins_mono = self._font_at(begin)
        ends_mono = self._font_at(last - 1)[1]
        written = text[begin:last].replace("\0", "")
        line = Line(written, words[0][2], self._right_of(last - 1), base, size, font, begins_mono, ends_mono)
        if not is_prose and self._may_be_listing(text, begin, last - 1) and self._is_listing(text, words):
            line.is_mono = True
            line.words = tuple((word[2], text[word[0] : word[1]].replace("\0", "")) for word in words)
            line.pitch = (self._place_of(end - 1)[0] - left) / max(end - start - 1, 1) or size * 0.6
        else:
            line.raised = tuple(self._raised(written, begin, base - MIN_RISE * size))
        return line

    def _raised(self, written: str, begin: int, highest: float) -> Iterator[tuple[int, int]]:
        for match in _DIGITS.finditer(written):
            start, end = match.span()
            before, after = written[start - 1 : start], written[end : end + 1]
            is_glued = before != "" and not before.isspace()
            if end - start > 2 or before in _NOT_BEFORE_MARK or (is_glued and after.isalnum()):
                continue
            if self._foot_of(begin + start) < highest:
                yield start, end

    def _may_be_listing(self, text: str, *ends: int) -> bool:
        return all(
            text[place] in WRAP_MARKS or text[place - 1] in WRAP_MARKS or self._font_at(place)[1] for place in ends
        )

    def _is_listing(self, text: str, words: list[_Word]) -> bool:
        """Return whether all words are of fixed pitch, but for marks that the line goes on, or is a continuation."""
        monospaced = 0
        for start, end, _ in words:
            if self._font_at(end - 1 if text[start] in WRAP_MARKS else start)[1]:
                monospaced += 1
            elif text[start:end].strip("-" + WRAP_MARKS):
                return False
        return monospaced > 0

    def _size_at(self, index: int) -> float:
        """Return the size of a character as drawn, and remember into which direction its line runs."""
        matrix = self._matrix
        if not raw.FPDFText_GetMatrix(self._page, index, matrix):
            self._turn = 0
            return 10.0
        self._turn = round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) % 4 if matrix.b or matrix.a < 0 else 0
        return float(raw.FPDFText_GetFontSize(self._page, index)) * math.hypot(matrix.c, matrix.d) or 1.0

    def _place_of(self, index: int) -> tuple[float, float]:
        raw.FPDFText_GetCharOrigin(self._page, index, self._x, self._y)
        return _turned(self._turn, self._x.value, self._y.value)

    def _foot_of(self, index: int) -> float:
        """Return the lower edge of a character's drawing; some fonts have raised digits whose place is on the line."""
        if self._turn:
            return self._place_of(index)[1]
        raw.FPDFText_GetCharBox(self._page, index, *self._edges)
        return -float(self._edges[2].value)

    def _right_of(self, index: int) -> float:
        box = self._box
        raw.FPDFText_GetLooseCharBox(self._page, index, box)
        return float((box.right, box.top, -box.left, -box.bottom)[self._turn])

    def _font_at(self, index: int) -> tuple[bytes, bool]:
        known = self._fonts.get(index)
        if known is not None:
            return known
        raw.FPDFText_GetFontInfo(self._page, index, self._name, _NAME_BYTES, self._flags)
        name = self._name.value
        is_mono = self._mono.get(name)
        if is_mono is None:
            is_mono = bool(self._flags.value & _FIXED_PITCH_FLAG) or _MONO_NAME.search(name) is not None
            self._mono[name] = is_mono
        self._fonts[index] = name, is_mono
        return name, is_mono


def _typical[W: Sequence[float]](words: Sequence[W]) -> W:
    """Return a word that is no mark or sign: the first of four letters, or the longest."""
    for word in words:
        if word[1] - word[0] >= 4:
            return word
    return max(words, key=lambda word: word[1] - word[0])


def _turned(turn: int, x: float, y: float) -> tuple[float, float]:
    """Return the place along and across lines that are turned by a multiple of 90 degrees, counter-clockwise."""
    if turn == 0:
        return x, -y
    return ((y, x), (-x, y), (-y, -x))[turn - 1]


def _text_of(page: pypdfium2.PdfTextPage) -> str:
    """Return the characters of a page so that their offsets are PDFium's."""
    count = page.count_chars()
    text = str(page.get_text_range(errors="replace")) if count else ""
    if len(text) != count:
        # PDFium leaves out characters without a code, and has two for some; here each keeps its place.
        codes = [raw.FPDFText_GetUnicode(page.raw, index) for index in range(count)]
        text = _PAIR.sub(_joined_pair, "".join(map(chr, codes)))
    return text


def _joined_pair(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le") + "\0"
