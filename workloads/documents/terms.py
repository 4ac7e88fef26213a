"""Terms of full text search in any script. They are computed by this module and not by PostgreSQL's parser.

PostgreSQL's ``simple`` configuration makes one token of a whole Chinese sentence, and where its parser ends a word
depends on the server's locale. So this module makes the lexemes, for chunks and queries alike: normalised words in
scripts with spaces, overlapping pairs of characters in scripts without.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

# Scripts without spaces between words, and Hangul, whose particles are attached: Thai, Lao, Myanmar, Khmer, Hangul,
# kana, bopomofo, ideographs (with the supplementary planes).
_UNSPACED_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\uac00-\ud7af\u3005-\u3007\u3040-\u312f"
    "\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED_RANGES}]")
_RUN = re.compile(f"(?P<unspaced>[{_UNSPACED_RANGES}]+)|[^\\W{_UNSPACED_RANGES}]+")
_ACCENTS = re.compile("[\u0300-\u036f]")

# Letters kept of one word: longer ones are hashes and base64, and a lexeme may not exceed 2 KiB.
_MAX_TERM_LENGTH = 64
# PostgreSQL's own bound on a position within a tsvector.
_MAX_POSITION = 16_383

# Words that nearly every English chunk contains: in a query they only cost time.
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about an and any are as at be been but by can could did do does for from had has have how i if in into is it"
        " its me my no not of on or our shall should so that the their them then there these they this those to was we"
        " were what when where which who whom why will with would you your",
    )
)


def fold(text: str) -> str:
    """Return the text normalised so that case, compatibility forms and most accents do not matter.

    Accents are removed from Latin, Greek and Cyrillic letters.
    """
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


def iterate_terms(text: str) -> Iterator[str]:
    """Yield the terms of a text in order: words, and the overlapping pairs of characters in scripts without spaces.

    A single such character is a term by itself.
    """
    for match in _RUN.finditer(fold(text)):
        run = match.group()
        if match["unspaced"] is None:
            yield run[:_MAX_TERM_LENGTH]
        elif len(run) == 1:
            yield run
        else:
            yield from (run[index : index + 2] for index in range(len(run) - 1))


def iterate_places(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the terms of a text with their first position and the one after their last, counted in the text as given.

    A word has all terms that `iterate_terms` makes of it at the same place.
    """
    for match in _RUN.finditer(text):
        start, end = match.span()
        if match["unspaced"] is None or end - start == 1:
            yield from ((term, start, end) for term in iterate_terms(match.group()))
        else:
            for index in range(start, end - 1):
                yield from ((term, index, index + 2) for term in iterate_terms(text[index : index + 2]))


def query_terms(query: str) -> list[str]:
    """Return the distinct terms of a query. Stop words are left out, unless there are no other terms."""
    terms = list(dict.fromkeys(iterate_terms(query)))
    return [term for term in terms if term not in _STOP_WORDS] or terms


def to_tsvector(text: str, *, heading: str = "") -> str:
    """Return the text form of a tsvector for a chunk: the heading's terms have weight A, those of the text weight D."""
    positions: dict[str, list[str]] = {}
    position = 0
    for weight, part in (("A", heading), ("", text)):
        for term in iterate_terms(part):
            position = min(position + 1, _MAX_POSITION)
            positions.setdefault(term, []).append(f"{position}{weight}")
    return " ".join(f"{quote_lexeme(term)}:{','.join(places)}" for term, places in positions.items())


def to_tsqueries(terms: Iterable[str]) -> list[str]:
    """Return each term in the text form of a tsquery."""
    return [quote_lexeme(term) for term in terms]


def quote_lexeme(term: str) -> str:
    """Return the term quoted as PostgreSQL expects a lexeme."""
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
