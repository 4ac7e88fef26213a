"""Texts are shown in the active language, and stored and logged in English."""

from __future__ import annotations

import json

from django.utils import translation

from tenants.exceptions import DomainError, FieldInvalidError, TenantNotFoundError
from tenants.translation import LocalizableText, interpolate, translate

OFF = LocalizableText(
    "The ledger of tenant %(tenant)s is off by %(microseconds)s µs.", {"tenant": "acme", "microseconds": 7}
)
ENGLISH = "The ledger of tenant acme is off by 7 µs."
CHINESE = "租户 acme 的账目相差 7 µs。"
NESTED = LocalizableText(
    "Chain %(chain)s, seal %(sequence)s, entry %(entry)s: %(kind)s. %(detail)s",
    {"chain": 1, "sequence": 2, "entry": None, "kind": "fork", "detail": OFF},
)


def test_values_replace_the_placeholders_of_a_text() -> None:
    assert translate("There is no tenant %(slug)r.", {"slug": "acme"}) == "There is no tenant 'acme'."
    assert interpolate("100 % of it") == "100 % of it"
    assert interpolate("%(code)s: %(detail)s", {"code": "fork", "detail": ""}) == "fork:"


def test_empty_text_is_not_translated() -> None:
    with translation.override("zh-hans"):
        assert translate("") == ""


def test_localizable_text_is_english_as_str_and_translated_as_localized() -> None:
    with translation.override("zh-hans"):
        assert (str(OFF), OFF.localized) == (ENGLISH, CHINESE)
    assert OFF.localized == ENGLISH


def test_value_may_be_a_localizable_text_or_a_list_of_them() -> None:
    listed = LocalizableText("%(all)s", {"all": [OFF, "globex"]})
    with translation.override("zh-hans"):
        assert str(NESTED).endswith(f"fork. {ENGLISH}")
        assert CHINESE in NESTED.localized
        assert (str(listed), listed.localized) == (f"{ENGLISH}, globex", f"{CHINESE}, globex")


def test_localizable_text_is_equal_after_json() -> None:
    stored = json.loads(json.dumps([OFF.to_json(), NESTED.to_json(), LocalizableText("Seven rows differ.").to_json()]))
    assert stored[0] == {"text": OFF.text, "values": {"tenant": "acme", "microseconds": 7}}
    assert [LocalizableText.from_json(each) for each in stored] == [OFF, NESTED, LocalizableText("Seven rows differ.")]


def test_refusal_is_shown_in_the_active_language_and_logged_in_english() -> None:
    refusal = TenantNotFoundError("There is no tenant %(slug)r.", {"slug": "acme"})
    with translation.override("zh-hans"):
        assert refusal.detail == "没有租户 'acme'。"
        assert str(refusal) == "There is no tenant 'acme'."
    assert refusal.detail == "There is no tenant 'acme'."


def test_localizable_value_of_a_refusal_is_translated_with_it() -> None:
    with translation.override("zh-hans"):
        refusal = DomainError("A job that is %(state)s cannot be cancelled.", {"state": LocalizableText("completed")})
        assert str(refusal) == "A job that is completed cannot be cancelled."
        assert "completed" not in refusal.detail


def test_refusal_without_a_text_shows_its_title() -> None:
    with translation.override("zh-hans"):
        assert FieldInvalidError().detail == "有一个字段无效。"


def test_text_without_a_translation_is_shown_unchanged() -> None:
    with translation.override("zh-hans"):
        assert DomainError("name: 100 % wrong").detail == "name: 100 % wrong"
