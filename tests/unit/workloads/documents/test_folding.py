"""Near-duplicates among chunks."""

from __future__ import annotations

from workloads.documents.folding import fold_near_duplicates, shingles_of

LEASE = "A lease that is not renewed within ten seconds has expired, and another worker may start the job again."
OTHER = "The dispatcher reads the queues in the order of their fair share and sends the next message."
SHORT = "lease"


def fold(*texts: str, limit: int = 10) -> list[list[int]]:
    return fold_near_duplicates([shingles_of(text) for text in texts], limit=limit)


def test_same_words_in_other_case_and_punctuation_are_folded() -> None:
    assert fold(LEASE, OTHER, LEASE.upper().replace(",", ";")) == [[0, 2], [1]]


def test_text_with_a_changed_word_is_folded_but_half_of_it_is_not() -> None:
    text = " ".join(f"{LEASE} {OTHER}" for _ in range(1))
    assert fold(text, text.replace("ten", "twenty")) == [[0, 1]]
    assert fold(text, LEASE) == [[0], [1]]


def test_short_texts_are_folded_only_if_they_are_equal() -> None:
    assert fold(SHORT, "leases", SHORT, "") == [[0, 2], [1], [3]]


def test_chinese_texts_are_folded() -> None:
    assert fold("任务等待得足够久，都会排到最前面。", "任务等待得足够久，都会排到最前面", "断路器断开") == [[0, 1], [2]]


def test_groups_are_limited_and_later_duplicates_still_join_them() -> None:
    assert fold(LEASE, OTHER, SHORT, LEASE, limit=2) == [[0, 3], [1]]
