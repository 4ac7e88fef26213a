"""Places of a query's terms in the text of a chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from workloads.documents.terms import iterate_places

MAX_HIGHLIGHTS = 100


class Span(NamedTuple):
    """A place in a text: its first character, and the one after its last."""

    start: int
    end: int


def find_highlights(text: str, terms: Iterable[str]) -> list[Span]:
    """Return up to 100 places of the terms in the text, in order. Places that touch within a word are one."""
    wanted, spans = frozenset(terms), list[Span]()
    for term, start, end in iterate_places(text):
        if term not in wanted:
            continue
        # Pairs of characters overlap; a term that folding made of the same word has the same place.
        if spans and start < spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(end, spans[-1].end))
        elif len(spans) == MAX_HIGHLIGHTS:
            break
        else:
            spans.append(Span(start, end))
    return spans


def mark_highlights(text: str, spans: Sequence[Span]) -> SafeString:
    """Return the text as HTML with each place in ``<mark>``. Everything else is escaped."""
    begins = [0, *(end for _, end in spans)]
    marked = [(text[begin:start], text[start:end]) for begin, (start, end) in zip(begins, spans, strict=False)]
    return format_html_join("", "{}<mark>{}</mark>", marked) + format_html("{}", text[begins[-1] :])
