"""Fields that accept a value as it is written, or refuse it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from scheduling.api.filters import DeadLetterQuerySerializer, JobQuerySerializer
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.tenancy.bases import find_invisible_character


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),  # RFC 3339 allows lower case
        ("2026-01-31 09:30:00+01:00", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),  # and a space
        ("2026-01-31T09:30:00.123456789Z", datetime(2026, 1, 31, 9, 30, 0, 123456, tzinfo=UTC)),  # cut to microseconds
        ("2026-01-31T00:00:00-00:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),  # the earliest accepted time
    ],
)
def test_time_is_converted_to_utc(text: str, moment: datetime) -> None:
    assert MomentField().to_internal_value(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31",
        "2026-01-31T09:30Z",  # no seconds
        "2026-01-31T09:30:00",  # no offset
        "2026-01-31T09:30:00+0100",
        "20260131T093000Z",
        "2026-W05-6T09:30:00Z",
        "2026-13-01T00:00:00Z",
        "2026-06-30T23:59:60Z",  # a leap second
        "2026-01-31T09:30:00+24:00",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "２０２６-01-31T09:30:00Z",
        " 2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00Z\n",
        20260131,
        True,
        None,
    ],
)
def test_invalid_time_is_refused(value: Any) -> None:
    with pytest.raises(serializers.ValidationError):
        MomentField().to_internal_value(value)


@pytest.mark.parametrize("text", ["plain", "日本語", "naïve", "e\u0301", "🏷️", "नमस्ते", "a b", "a\u00a0b"])
def test_visible_text_is_a_valid_name(text: str) -> None:
    assert NameField().to_internal_value(text) == text


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\u200b", "\u200d", "\u202e", "\u2066", "\ufeff", "\u2028", "\u00ad", "\u3164", "\U000e0041"],
)
def test_invisible_character_in_name_is_refused(character: str) -> None:
    assert find_invisible_character(f"a{character}b") == character
    with pytest.raises(serializers.ValidationError):
        NameField().to_internal_value(f"a{character}b")


@pytest.mark.parametrize("value", ["1", 1.0, True, None, [1], "٣"])
def test_value_other_than_integer_is_refused(value: Any) -> None:
    with pytest.raises(serializers.ValidationError):
        WholeNumberField().to_internal_value(value)


class Body(StrictSerializer):
    name = NameField()


def test_unknown_field_is_refused_by_name() -> None:
    body = Body(data={"name": "a", "nmae": "b"})
    assert not body.is_valid()
    assert body.errors["nmae"][0].code == "unknown_field"


def test_job_filters_are_read_from_repeated_and_listed_parameters() -> None:
    query = QueryDict("state=available,scheduled&state=executing&kind=noop&tag=a%2Cb&tag=c&fair_key=&limit=5&cursor=x")
    job_filter = JobQuerySerializer.parse(query).to_filter()
    assert job_filter.text == 'state:available,scheduled,executing kind:noop tag:"a,b" tag:c fair_key:""'
    assert JobQuerySerializer.parse(QueryDict("")).to_filter().is_empty


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", ""),
        ("requeued=true", "requeued:yes"),
        ("requeued=false&kind=noop", "kind:noop requeued:no"),
        ("created_after=2026-01-31T00:00:00Z&reason=discarded", "dead_letter:discarded died:>=2026-01-31"),
    ],
)
def test_dead_letter_filters_are_read_from_parameters(query: str, text: str) -> None:
    assert DeadLetterQuerySerializer.parse(QueryDict(query)).to_filter().text == text


@pytest.mark.parametrize("query", ["requeued=1", "requeued=", "fair_key=a", "state=available"])
def test_invalid_dead_letter_filter_is_refused(query: str) -> None:
    with pytest.raises(serializers.ValidationError):
        DeadLetterQuerySerializer.parse(QueryDict(query))
