"""A sentence that is kept is read in English by programs, and by people in their language."""

from __future__ import annotations

import json

import pytest
from django.utils import translation

from tenants.sentences import Sentence, keep, read_kept, recognise

OFF = Sentence("The ledger of tenant %(tenant)s is off by %(microseconds)s µs.", {"tenant": "acme", "microseconds": 7})
ENGLISH = "The ledger of tenant acme is off by 7 µs."
CHINESE = "租户 acme 的账目相差 7 µs。"


def test_a_sentence_is_english_as_a_text_and_told_in_the_readers_language() -> None:
    with translation.override("zh-hans"):
        assert (str(OFF), OFF.told) == (ENGLISH, CHINESE)
    assert OFF.told == ENGLISH


def test_a_value_may_be_a_sentence_or_several() -> None:
    whole = Sentence("Chain %(chain)s: %(kind)s. %(detail)s", {"chain": 1, "kind": "fork", "detail": OFF})
    listed = Sentence("%(all)s", {"all": [OFF, "globex"]})
    with translation.override("zh-hans"):
        assert str(whole) == f"Chain 1: fork. {ENGLISH}"
        assert CHINESE in whole.told
        assert (str(listed), listed.told) == (f"{ENGLISH}, globex", f"{CHINESE}, globex")


def test_what_is_kept_begins_with_its_english_and_comes_back_as_it_was() -> None:
    whole = Sentence("Chain %(chain)s: %(kind)s. %(detail)s", {"chain": 1, "kind": "fork", "detail": OFF})
    kept = json.loads(json.dumps(keep([OFF, "Seven rows differ.", whole])))
    behind = {"text": OFF.text, "values": {"tenant": "acme", "microseconds": 7}}
    assert kept[:3] == [ENGLISH, behind, "Seven rows differ."]
    assert read_kept(kept) == [OFF, Sentence("Seven rows differ."), whole]


def test_what_was_kept_as_a_text_alone_is_told_as_it_is() -> None:
    with translation.override("zh-hans"):
        assert [sentence.told for sentence in read_kept(["Seven rows differ by 100 %.", ""])] == [
            "Seven rows differ by 100 %.",
            "",
        ]
    assert read_kept([{"text": "Its text is lost.", "values": {}}]) == [Sentence("Its text is lost.")]


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("The a of b: c.", {"one": "a", "two": "b", "three": "c"}),
        ("The x of y of b: : c.", {"one": "x of y", "two": "b: ", "three": "c"}),
        ("The  of : .", {"one": "", "two": "", "three": ""}),
        ("The a of b: c", None),
        ("The a: c.", None),
        ("a of b: c.", None),
        ("The.", None),
    ],
)
def test_a_text_is_recognised_with_its_values(written: str, values: dict[str, str] | None) -> None:
    sentence = Sentence("The %(one)s of %(two)s: %(three)s.")
    found = recognise(written, [Sentence("Nothing."), sentence])
    assert (None if found is None else found.values) == values
    assert recognise("Nothing.", [sentence, Sentence("Nothing.")]) == Sentence("Nothing.")
