"""The grammar: all spellings have one canonical form, and errors have a position."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduling.jobs.filters import FIELDS, FilterSyntaxError, JobFilter, Term, parse
from scheduling.jobs.filters.fields import COMPARISONS, LETTER_REASONS
from scheduling.jobs.lifecycle import JobState

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID = UUID("0199c0de-0000-7000-8000-000000000000")

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
seconds = st.integers(-2_208_902_400, 250_000_000_000).map(lambda count: timedelta(seconds=count))
microseconds = st.integers(0, 10**16).map(lambda count: timedelta(microseconds=count))
moments = (seconds | microseconds).map(lambda since: EPOCH + since)
days = moments.map(lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0))
smalls = st.integers(-32_768, 32_767)
ages = st.integers(0, 100 * 365 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
comparisons = st.sampled_from(COMPARISONS)
negations = st.booleans()


def many(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)


def one(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(values)


named = st.sampled_from(["queue", "kind", "tenant", "tag", "error", "key"])
terms = st.one_of(
    st.builds(
        Term,
        st.sampled_from(["queue", "kind", "tenant", "tag", "meta", "meta.Order_1.id-2", "error", "key", "fingerprint"]),
        many(texts),
        st.just(""),
        negations,
    ),
    st.builds(Term, st.just("dead_letter"), many(st.sampled_from(LETTER_REASONS)), st.just(""), negations),
    st.builds(Term, st.just("requeued"), many(st.sampled_from(["yes", "no"])), st.just(""), negations),
    st.builds(Term, st.just("fair_key"), many(texts | st.just("")), st.just(""), negations),
    st.builds(Term, st.just("state"), many(st.sampled_from(JobState)), st.just(""), negations),
    st.builds(Term, st.sampled_from(["id", "batch", "parent"]), many(st.uuids()), st.just(""), negations),
    st.builds(Term, st.sampled_from(["priority", "failed_attempts"]), many(smalls), st.just(""), negations),
    st.builds(Term, st.sampled_from(["priority", "failed_attempts"]), one(smalls), comparisons, negations),
    st.builds(Term, st.just("age"), one(ages), comparisons, negations),
    st.builds(Term, st.sampled_from(["created", "died"]), one(moments), comparisons, negations),
    st.builds(Term, st.sampled_from(["created", "died"]), many(days), st.just(""), negations),
    st.builds(Term, st.just(""), one(texts), st.just(""), negations),
)
filters = st.lists(terms, max_size=5, unique=True).map(lambda chosen: JobFilter(tuple(chosen)))


def read_or_refused(text: str) -> JobFilter | FilterSyntaxError:
    try:
        return parse(text)
    except FilterSyntaxError as error:
        return error


@given(filters)
def test_filter_is_equal_after_parsing_its_text(job_filter: JobFilter) -> None:
    assert parse(job_filter.text) == job_filter


@given(filters, microseconds.map(lambda since: datetime(2025, 1, 1, tzinfo=UTC) + since))
def test_frozen_filter_is_equal_after_parsing_and_freezing_again(job_filter: JobFilter, now: datetime) -> None:
    frozen = job_filter.frozen(now)
    assert frozen.is_frozen
    assert parse(frozen.text) == frozen == frozen.frozen(now + timedelta(days=1))


@given(st.text())
@example('"\\')
@example("-")
@example("created:0001-01-01T00:00+23:59")
@example("priority:>,")
def test_any_text_is_parsed_or_refused_with_a_position(text: str) -> None:
    read = read_or_refused(text)
    if isinstance(read, FilterSyntaxError):
        assert 0 <= read.position <= len(text)
        assert read.word in text
    else:
        assert parse(read.text) == read
        assert read.in_words()


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("  state:discarded   queue:pipeline ", "state:discarded queue:pipeline"),
        ("STATE:Discarded", "state:discarded"),
        ("state:discarded,discarded state:discarded", "state:discarded"),
        ('kind:"noop"', "kind:noop"),
        ("priority:=5", "priority:5"),
        ("age:>90m", "age:>1h30m"),
        ("age:<0h", "age:<0s"),
        ("created:>2026-01-01T00:00:00Z", "created:>2026-01-01"),
        ("created:>2026-01-01T02:00:00+02:00", "created:>2026-01-01"),
        ("created:>2026-01-01T14:05", "created:>2026-01-01T14:05:00Z"),
        (f"id:{ID.hex}", f"id:{ID}"),
        ('"free words" -"other words"', '"free words" -"other words"'),
        ('"OR"', '"OR"'),
        ('fair_key:""', 'fair_key:""'),
        ('tag:"a,b",c', 'tag:"a,b",c'),
        ("", ""),
    ],
)
def test_spellings_of_one_filter_have_one_canonical_form(written: str, canonical: str) -> None:
    assert parse(written).text == canonical


@pytest.mark.parametrize(
    ("text", "position", "word", "suggestion"),
    [
        ("stat:discarded", 0, "stat", "state"),
        ("kind:noop -quue:x", 11, "quue", "queue"),
        ("state:discarded,canceled", 16, "canceled", "cancelled"),
        ("http://example.org", 0, "http", None),
        ("dead_letter:discard", 12, "discard", "discarded"),
        ("requeued:maybe", 9, "maybe", None),
        ("died:2026-01-01T14:05", 5, "2026-01-01T14:05", None),
        ("state:", 6, "", None),
        ("kind:noop,", 10, "", None),
        ("-", 1, "", None),
        ("kind:a - b", 8, "", None),
        ("state:>discarded", 6, ">", None),
        ("age:1h", 4, "", None),
        ("age:>soon", 5, "soon", None),
        ("age:>101w999999999d", 5, "101w999999999d", None),
        ("priority:>high", 10, "high", None),
        ("priority:40000", 9, "40000", None),
        ("priority:>1,2", 10, "1,2", None),
        ("created:>2026-13-01", 9, "2026-13-01", None),
        ("created:2026-01-01T14:05", 8, "2026-01-01T14:05", None),
        ("batch:4711", 6, "4711", None),
        ('kind:"noop', 5, "", None),
        ('kind:"noop"x', 11, "x", None),
        ("a OR b", 2, "OR", None),
        ('kind:"\x00"', 5, "", None),
        ('tag:""', 4, "", None),
        (f"kind:{'x' * 201}", 5, "x" * 100, None),
        ("a " * 31, 60, "", None),
        (f"kind:{','.join(map(str, range(51)))}", 147, "", None),
    ],
)
def test_syntax_error_has_position_word_and_suggestion(
    text: str, position: int, word: str, suggestion: str | None
) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert (caught.value.position, caught.value.word, caught.value.suggestion) == (position, word, suggestion)
    assert caught.value.detail.startswith(f"At character {position + 1}")


def test_error_of_unknown_field_lists_the_fields() -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse("zzz:1")
    assert caught.value.known == tuple(FIELDS)
    assert "Valid words: state, queue," in caught.value.detail


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_example_of_each_field_is_parsed(field: object) -> None:
    example_text = field.example  # type: ignore[attr-defined]
    assert parse(example_text).text == example_text


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_each_field_has_a_clause_and_a_negation(field: object) -> None:
    example_text = field.example  # type: ignore[attr-defined]
    assert parse(example_text).in_words() != parse(f"-{example_text}").in_words()


@pytest.mark.parametrize(
    ("text", "frozen"),
    [
        ("age:>1h", "created:<2026-03-01T11:30:15.123456Z"),
        ("age:>=1h", "created:<=2026-03-01T11:30:15.123456Z"),
        ("-age:<1h kind:noop", "-created:>2026-03-01T11:30:15.123456Z kind:noop"),
        ("created:<2026-01-01", "created:<2026-01-01"),
    ],
)
def test_age_is_frozen_as_a_time(text: str, frozen: str) -> None:
    assert parse(text).frozen(NOW).text == frozen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "All jobs."),
        (
            "state:discarded,cancelled -queue:pipeline",
            "Jobs whose state is discarded or cancelled, not in queue pipeline.",
        ),
        ("age:>1h30m", "Jobs whose age is more than 1h30m."),
        ("created:2026-01-01 priority:>=5", "Jobs created on 2026-01-01 (UTC), whose priority is at least 5."),
        (
            "dead_letter:discarded died:>2026-01-01",
            "Jobs with a dead letter of reason discarded, with a dead letter created after 2026-01-01 (UTC).",
        ),
        ('"100 %(values)s"', "Jobs that match the word “100 %(values)s”."),
    ],
)
def test_filter_is_described_in_words(text: str, words: str) -> None:
    assert parse(text).in_words() == words


@pytest.mark.parametrize(
    ("text", "needs_scan"),
    [
        ("", False),
        ("created:>2026-01-01 age:<1d tenant:acme", False),
        ("state:discarded", False),
        ("state:executing,dispatched -state:dispatched", False),
        ("state:completed", True),
        ("-state:completed", True),
        ("state:discarded kind:noop", True),
        ("kind:noop", True),
        ("-tenant:acme", True),
        ("tenant:acme,globex", True),
        (f"kind:noop batch:{ID}", False),
        (f"-batch:{ID}", True),
        (f"{ID}", False),
        ("night", True),
        ("key:order-1 state:completed", False),
        ("fingerprint:f kind:noop requeued:no", False),
        ("dead_letter:discarded state:discarded", False),
        ("fingerprint:f state:completed", True),
        ("fingerprint:f queue:x", True),
        ("fingerprint:f -kind:noop", True),
        ("-requeued:no", True),
    ],
)
def test_filter_without_index_is_walked(text: str, needs_scan: bool) -> None:
    assert parse(text).needs_scan is needs_scan


@pytest.mark.parametrize(
    ("text", "field", "value", "toggled"),
    [
        ("kind:a", "state", JobState.DISCARDED, "kind:a state:discarded"),
        ("state:discarded kind:a", "state", JobState.CANCELLED, "state:discarded,cancelled kind:a"),
        ("state:discarded,cancelled kind:a", "state", JobState.DISCARDED, "state:cancelled kind:a"),
        ("state:discarded kind:a", "state", JobState.DISCARDED, "kind:a"),
        ("-state:discarded", "state", JobState.CANCELLED, "-state:discarded state:cancelled"),
    ],
)
def test_alternative_is_added_and_removed(text: str, field: str, value: JobState, toggled: str) -> None:
    assert parse(text).toggled(field, value).text == toggled


def test_condition_is_removed() -> None:
    job_filter = parse("state:discarded -kind:noop night")
    assert [job_filter.without(term).text for term in job_filter.terms] == [
        "-kind:noop night",
        "state:discarded night",
        "state:discarded -kind:noop",
    ]
