"""Secrets never reach the stored document of an action, however nested, and its size is bounded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.audit.service import CUT, DOCUMENT_LIMIT, MASK, mask_document, mask_text

SECRET = "jp0123456789.abcdefghijABCDEFGHIJ0123456789-_ab"
# Distinct, so that a hit in the output can only be the planted value.
PLANTED = "zQ7planted9Xw"
SECRET_NAMES = st.sampled_from(
    [
        "password",
        "new_password1",
        "Passwd",
        "secret",
        "client-secret",
        "secret_hash",
        "token",
        "csrfToken",
        "refresh_token",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "api_key",
        "X-Api-Key",
        "private key",
        "credentials",
        "key_hash",
        "sessionid",
        "payload",
        "result",
    ]
)
SHAPED = st.sampled_from(
    [
        SECRET,
        f"Api-Key {SECRET}",
        f"Bearer {PLANTED}{PLANTED}",
        f"basic {PLANTED}{PLANTED}=",
        f"postgres://jobs:{PLANTED}@db.example/jobs",
        f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{PLANTED}",
        f"eyJ{PLANTED}.{PLANTED}.{PLANTED}",
    ]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
SECRETS = st.dictionaries(
    SECRET_NAMES, st.just(PLANTED) | st.lists(st.just(PLANTED)) | st.just({"x": PLANTED}), min_size=1
)


def nested(leaf: st.SearchStrategy) -> st.SearchStrategy:
    """Draw the leaf inside lists and mappings with harmless values."""
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner | PLAIN, min_size=1, max_size=3)
            | st.dictionaries(st.text(max_size=8), inner | PLAIN, min_size=1, max_size=3)
        ),
        max_leaves=6,
    )


@given(nested(SECRETS))
def test_value_under_a_secret_name_is_masked(value):
    assert PLANTED not in json.dumps(mask_document({"field": value}))


@given(nested(st.builds("{}{}{}".format, st.text(max_size=10).map(lambda text: text + " "), SHAPED, st.just(" and"))))
def test_value_of_a_secret_shape_is_masked(value):
    kept = json.dumps(mask_document({"field": value}))
    assert PLANTED not in kept
    assert SECRET.split(".")[1] not in kept


@given(st.dictionaries(st.text(), nested(PLAIN)))
def test_any_document_becomes_storable_and_bounded(document):
    kept = mask_document(document)
    encoded = json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert len(encoded) <= DOCUMENT_LIMIT * 2
    assert b"\x00" not in encoded
    # Two backslashes are one literal backslash, not the beginning of an escape.
    assert "\\u0000" not in encoded.decode().replace("\\\\", "")


def test_harmless_values_are_unchanged():
    moment = datetime(2026, 1, 31, 8, tzinfo=UTC)
    document = {"name": "Acme", "limit": 5, "weight": Decimal("1.5"), "at": moment, "id": UUID(int=7), "on": True}
    assert mask_document(document) == {
        "name": "Acme",
        "limit": 5,
        "weight": "1.5",
        "at": "2026-01-31T08:00:00Z",
        "id": str(UUID(int=7)),
        "on": True,
    }
    assert mask_document(None) is None


def test_secret_is_replaced_by_a_mask_and_empty_value_is_kept():
    assert mask_document({"password": "x", "token": "", "secret": None, "has_password": True}) == {
        "password": MASK,
        "token": "",
        "secret": None,
        "has_password": True,
    }


def test_large_document_keeps_small_fields_and_its_hash():
    import hashlib

    document = {"name": "Acme", "rows": ["x" * 100] * 1000}
    kept = mask_document(document)
    whole = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert kept == {"name": "Acme", CUT: {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}}


@pytest.mark.parametrize(
    "text", ["a plain reason", "basic needs", "the token was lost", "https://example.org/a:b@c", "jp1.x"]
)
def test_ordinary_words_similar_to_secrets_are_unchanged(text):
    assert mask_text(text) == text
