"""Words of log lines, and the filter of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.filters.syntax import FilterSyntaxError
from scheduling.log_search.query import LogSearchInvalidError, LogSearchSealedError, parse_query
from scheduling.log_search.words import FILTER_BITS, WordFilter, normalize, positions, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Connection RESET by peer", {"connection", "reset", "by", "peer"}),
        ("10.0.0.1: read_timeout=5", {"10", "0", "1", "read_timeout", "5"}),
        ("", set()),
        ("连接超时 error", {"连接", "接超", "超时", "error"}),
        ("连接error", {"连接", "error"}),
        ("断", set()),
        ("CAFÉ", {"café"}),
    ],
)
def test_words_are_runs_without_regard_to_case(text: str, words: set[str]) -> None:
    assert words_of(normalize(text)) == words


def has(built: WordFilter, places: Iterable[int]) -> bool:
    """Return whether all bits of a word are set, as `get_bit` tests them."""
    return all(built.bits[place >> 3] >> (place & 7) & 1 for place in places)


@given(st.lists(st.text(max_size=40), max_size=40), st.binary(max_size=32))
def test_filter_has_every_word_that_was_added(texts: list[str], key: bytes) -> None:
    words = {word for text in texts for word in words_of(normalize(text))}
    built = WordFilter()
    for word in words:
        built.add(positions(word, key))
    stored = WordFilter(bytes(built.bits))
    assert all(has(stored, positions(word, key)) for word in words)


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_line_with_a_text_has_the_words_by_which_it_is_looked_up(text: str, left: str, right: str) -> None:
    (term,) = parse_query(f'"{_plain(text)} x"', is_sealed=False).terms
    line = normalize(f"{left} {_plain(text)} x {right}")
    assert term.words <= words_of(line)
    assert term.matches(line, words_of(line))


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isprintable() and character not in '"\\')


def test_full_filter_has_few_other_words() -> None:
    built = WordFilter()
    count = 0
    while not built.is_full:
        built.add(positions(f"word{count}", b""))
        count += 1
    assert 650 < count < 800
    mistaken = sum(has(built, positions(f"other{n}", b"")) for n in range(20_000))
    assert mistaken < 20_000 / 1_000


def test_positions_depend_on_the_key_and_fit_into_the_filter() -> None:
    assert positions("timeout", b"one") != positions("timeout", b"two") != positions("timeout", b"")
    assert all(0 <= place < FILTER_BITS for place in positions("timeout", b"one"))


def test_search_is_parsed_into_words_and_fields() -> None:
    query = parse_query('timeout "connection reset" -retry timeo* kind:noop,sleep level:warning', is_sealed=False)
    assert [(term.text, term.is_prefix, term.is_negated) for term in query.terms] == [
        ("timeout", False, False),
        ("connection reset", False, False),
        ("retry", False, True),
        ("timeo", True, False),
    ]
    assert query.values == {"kind": ("noop", "sleep")}
    assert query.level == LEVELS["warning"]
    assert query.words == {"timeout", "connection", "reset"}


@pytest.mark.parametrize(
    ("text", "line", "matches"),
    [
        ("timeout", "read Timeout after 5 s", True),
        ("timeout", "timeouts", False),
        ("timeo*", "timeouts", True),
        ('"reset by"', "connection reset by peer", True),
        ('"reset by"', "by the reset", False),
        ("-reset", "connection reset", False),
        ("-reset", "connection lost", True),
        ("10.0.0.1", "from 10.0.0.1", True),
        ("10.0.0.1", "from 1.0.0.10", False),
        ("接超", "连接超时", True),
        ("断", "中断", True),
    ],
)
def test_line_matches_whole_words_phrases_and_beginnings(text: str, line: str, *, matches: bool) -> None:
    assert parse_query(text, is_sealed=False).matches_text(line) is matches


@pytest.mark.parametrize("text", ['"connection reset"', "timeo*"])
def test_phrase_and_beginning_are_refused_while_lines_are_encrypted(text: str) -> None:
    with pytest.raises(LogSearchSealedError):
        parse_query(text, is_sealed=True)
    assert parse_query("connection reset 10.0.0.1", is_sealed=True).words >= {"connection", "reset"}


def test_unreadable_searches_are_refused() -> None:
    for text in ("level:loud", "colour:red", 'job:"7"', '"open'):
        with pytest.raises(FilterSyntaxError):
            parse_query(text, is_sealed=False)
    for text in ("-kind:noop", "kind:noop kind:sleep"):
        with pytest.raises(LogSearchInvalidError):
            parse_query(text, is_sealed=False)
