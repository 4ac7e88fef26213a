"""Keys of the audit log: PEM or base64, rotation with the old key for verification, and the deployment check."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.exceptions import ImproperlyConfigured

from tenants.audit.signing import SigningKeyMissingError, is_signed, public_key_text, sign, signing_key_id
from tenants.checks import check_audit_key

RAW = base64.b64encode(bytes(range(32))).decode()


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_key_is_the_same_in_every_format(change_platform_settings):
    whole = pem(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    keys = set()
    for given in (RAW, whole, whole.replace("\n", "\\n")):
        change_platform_settings(AUDIT_SIGNING_KEY=given)
        keys.add(public_key_text())
    assert len(keys) == 1


def test_signature_is_valid_for_its_message_and_key_only(change_platform_settings):
    change_platform_settings(AUDIT_SIGNING_KEY=RAW)
    signature, key_id = sign(b"head"), signing_key_id()
    assert is_signed(b"head", signature=signature, key_id=key_id) is True
    assert is_signed(b"heed", signature=signature, key_id=key_id) is False
    assert is_signed(b"head", signature="not base64", key_id=key_id) is False
    assert is_signed(b"head", signature=signature, key_id="0" * 16) is None


def test_process_with_public_keys_verifies_and_cannot_sign(change_platform_settings):
    change_platform_settings(AUDIT_SIGNING_KEY=RAW)
    signature, key_id, public = sign(b"head"), signing_key_id(), public_key_text()
    change_platform_settings(AUDIT_SIGNING_KEY="", AUDIT_PUBLIC_KEYS=[public])
    assert is_signed(b"head", signature=signature, key_id=key_id) is True
    with pytest.raises(SigningKeyMissingError):
        sign(b"head")
    assert check_audit_key() == []


def test_missing_key_is_derived_and_reported_by_the_deploy_check(change_platform_settings):
    change_platform_settings(AUDIT_SIGNING_KEY="", AUDIT_PUBLIC_KEYS=[])
    assert is_signed(b"x", signature=sign(b"x"), key_id=signing_key_id()) is True
    assert [message.id for message in check_audit_key()] == ["tenants.E002"]
    change_platform_settings(AUDIT_SIGNING_KEY=RAW)
    assert check_audit_key() == []


@pytest.mark.parametrize(
    "given", ["short", base64.b64encode(b"x" * 31).decode(), pem(generate_private_key(SECP256R1()))]
)
def test_invalid_ed25519_key_is_refused(change_platform_settings, given):
    change_platform_settings(AUDIT_SIGNING_KEY=given)
    with pytest.raises(ImproperlyConfigured, match="AUDIT_SIGNING_KEY"):
        sign(b"x")
    assert [message.id for message in check_audit_key()] == ["tenants.E003"]
