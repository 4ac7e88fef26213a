"""Near-duplicates among the chunks that a search found."""

from __future__ import annotations

from collections.abc import Sequence

from workloads.documents.terms import iterate_terms

# Two chunks are near-duplicates if this share of all their sequences of three terms is common to both.
_NEARLY_EQUAL = 0.8
_SEQUENCE_TERMS = 3


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    """Return the distinct sequences of three terms of a text; the whole text if it has fewer terms."""
    terms = list(iterate_terms(text))
    count = max(1, len(terms) - _SEQUENCE_TERMS + 1)
    return frozenset(tuple(terms[index : index + _SEQUENCE_TERMS]) for index in range(count))


def are_near_duplicates(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    """Return whether two chunks, given by their shingles, have the same or nearly the same text."""
    smaller, larger = sorted((len(one), len(other)))
    # The common part is at most the smaller one.
    if smaller < _NEARLY_EQUAL * larger:
        return False
    common = len(one & other)
    return common >= _NEARLY_EQUAL * (smaller + larger - common)


def fold_near_duplicates(shingles: Sequence[frozenset[tuple[str, ...]]], *, limit: int) -> list[list[int]]:
    """Return up to ``limit`` groups of positions: the first of each is the best ranked, the others repeat its text.

    ``shingles`` are those of the chunks, best first. Chunks after the last group are not read, so that at most
    ``limit`` comparisons are made for each chunk.
    """
    groups: list[list[int]] = []
    for position, own in enumerate(shingles):
        group = next((one for one in groups if are_near_duplicates(shingles[one[0]], own)), None)
        if group is not None:
            group.append(position)
        elif len(groups) < limit:
            groups.append([position])
    return groups
