"""Sealing and opening, without a database."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.database.ids import uuid7
from tenants.encryption.envelope import (
    MARK,
    DataKey,
    MasterKeysInvalidError,
    SealBrokenError,
    SealContext,
    digest_key,
    key_id_of,
    new_secret,
    quote,
    seal,
    unquote,
    unseal,
)
from tenants.encryption.master_keys import MasterKeys

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just(MARK), inner, max_size=3),
    max_leaves=8,
)
KEY = DataKey.of(uuid7(), new_secret())
PLACE = SealContext(uuid7(), "scheduling_job", uuid7(), "payload")


def master(fill: bytes = b"m") -> str:
    return base64.b64encode(fill * 32).decode()


@given(JSON)
def test_sealed_value_is_opened_by_its_key(value: Any) -> None:
    stored = json.loads(json.dumps(seal(value, KEY, PLACE)))
    text, plain = unquote(stored)
    assert (plain, key_id_of(text or "")) == (None, KEY.id)
    assert unseal(text or "", KEY, PLACE) == value


@given(JSON)
def test_plain_value_is_not_read_as_sealed(value: Any) -> None:
    assert unquote(json.loads(json.dumps(quote(value)))) == (None, value)


@pytest.mark.parametrize(
    "value", [{MARK: "1:00:AA=="}, {MARK: {"plain": 1}}, {MARK: {MARK: "x"}}, {MARK: None}, {MARK: "x", "other": 1}]
)
def test_payload_that_resembles_a_sealed_value_is_unchanged(value: Any) -> None:
    assert unquote(quote(value)) == (None, value)
    assert unseal(seal(value, KEY, PLACE)[MARK], KEY, PLACE) == value


@pytest.mark.parametrize("part", ["tenant_id", "table", "row_id", "field"])
def test_sealed_value_does_not_open_in_another_place(part: str) -> None:
    elsewhere = replace(PLACE, **{part: uuid7() if part.endswith("_id") else "other"})
    with pytest.raises(SealBrokenError):
        unseal(seal({"a": 1}, KEY, PLACE)[MARK], KEY, elsewhere)


def test_other_key_opens_no_value() -> None:
    with pytest.raises(SealBrokenError):
        unseal(seal({"a": 1}, KEY, PLACE)[MARK], DataKey.of(KEY.id, new_secret()), PLACE)


def test_sealed_value_with_any_changed_byte_does_not_open() -> None:
    head, _, sealed = seal({"a": 1}, KEY, PLACE)[MARK].rpartition(":")
    raw = base64.b64decode(sealed)
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(SealBrokenError):
            unseal(f"{head}:{base64.b64encode(changed).decode()}", KEY, PLACE)
    with pytest.raises(SealBrokenError):
        unseal(f"{head}:{base64.b64encode(raw[:20]).decode()}", KEY, PLACE)


def test_equal_values_are_sealed_differently() -> None:
    assert seal({"a": 1}, KEY, PLACE) != seal({"a": 1}, KEY, PLACE)


@pytest.mark.parametrize("text", ["", "1", "2:" + "0" * 32 + ":AA==", "1:short:AA==", "1:" + "z" * 32 + ":AA=="])
def test_text_that_is_not_sealed_has_no_key_id(text: str) -> None:
    with pytest.raises(SealBrokenError):
        key_id_of(text)


def test_data_key_is_unwrapped_by_its_own_master_key_only() -> None:
    tenant_id, key_id, secret = uuid7(), uuid7(), new_secret()
    old, new = MasterKeys([master(b"a")]), MasterKeys([master(b"b"), master(b"a")])
    names = {"tenant_id": tenant_id, "key_id": key_id}
    wrapped = old.wrap(secret, **names)
    assert secret not in wrapped
    assert new.unwrap(wrapped, master_id=old.current_id, **names) == secret
    with pytest.raises(KeyError):
        MasterKeys([master(b"c")]).unwrap(wrapped, master_id=old.current_id, **names)
    with pytest.raises(SealBrokenError):
        old.unwrap(wrapped, master_id=old.current_id, tenant_id=uuid7(), key_id=key_id)


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"short").decode()])
def test_invalid_master_key_is_refused(text: str) -> None:
    with pytest.raises(MasterKeysInvalidError):
        MasterKeys([master(), text])


def test_digest_key_differs_from_the_data_key() -> None:
    secret = new_secret()
    assert digest_key(secret) not in (secret, digest_key(new_secret()))
