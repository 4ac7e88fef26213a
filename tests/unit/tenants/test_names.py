"""Names and slugs given by people."""

from __future__ import annotations

import pytest

from tenants.exceptions import FieldInvalidError
from tenants.tenancy.bases import clean_name, clean_slug


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Acme Ltd ", "Acme Ltd"),
        ("埃克美公司", "埃克美公司"),
        ("Cafe\u0301", "Café"),  # one form for texts that look alike
    ],
)
def test_readable_name_is_kept(given, kept):
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("x" * 201, "200 characters"),
        ("evil\u202egnp", "U+202E"),  # right-to-left override
        ("ac\u200bme", "U+200B"),  # zero-width space
        ("ac\u2066me", "U+2066"),  # isolate
        ("a\x00b", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\u2028b", "U+2028"),
        ("a\ud800b", "U+D800"),
    ],
)
def test_name_with_invisible_character_is_refused(given, words):
    with pytest.raises(FieldInvalidError) as refusal:
        clean_name(given)
    assert words in refusal.value.detail
    assert refusal.value.errors[0]["field"] == "name"


@pytest.mark.parametrize("slug", ["a", "acme", "acme-2", "a" * 50])
def test_slug_is_kept(slug):
    assert clean_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a b", "é", "１", "a" * 51, "a\n"])
def test_invalid_slug_is_refused(slug):
    with pytest.raises(FieldInvalidError):
        clean_slug(slug)
