"""What is refused is told in the reader's language and kept in English."""

from __future__ import annotations

from django.utils import translation

from tenants.exceptions import DomainError, FieldInvalidError, TenantNotFoundError
from tenants.texts import filled, said


def test_a_sentence_has_its_values_in_their_places() -> None:
    assert said("There is no tenant %(slug)r.", {"slug": "acme"}) == "There is no tenant 'acme'."
    assert filled("100 % of it", None) == "100 % of it"
    assert said("") == ""


def test_a_refusal_is_told_in_the_readers_language_and_kept_in_english() -> None:
    refusal = TenantNotFoundError("There is no tenant %(slug)r.", {"slug": "acme"})
    with translation.override("zh-hans"):
        assert refusal.detail == "没有租户 'acme'。"
        assert str(refusal) == "There is no tenant 'acme'."
    assert refusal.detail == "There is no tenant 'acme'."


def test_without_a_detail_the_title_is_told() -> None:
    with translation.override("zh-hans"):
        assert FieldInvalidError().detail == "有一个字段无效。"


def test_what_nobody_has_translated_is_told_as_it_is() -> None:
    with translation.override("zh-hans"):
        assert DomainError("name: 100 % wrong").detail == "name: 100 % wrong"
