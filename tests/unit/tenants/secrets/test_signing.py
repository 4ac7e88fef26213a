"""Signatures of deliveries by the specification, and sealed secrets."""

from __future__ import annotations

import base64

import pytest
from django.conf import LazySettings

from tenants.secrets.signing import SecretUnreadableError, headers_of, new_secret, seal, sign, unseal

# The example of the Standard Webhooks specification's libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_signature_equals_that_of_the_specification() -> None:
    signed = sign(SECRET, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=BODY)
    assert signed == SIGNATURE


@pytest.mark.parametrize(
    "change", [{"message_id": "other"}, {"timestamp": 1614265331}, {"body": b'{"test": 1}'}, {"secret": new_secret()}]
)
def test_any_change_changes_the_signature(change: dict[str, object]) -> None:
    facts: dict[str, object] = {
        "secret": SECRET,
        "message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "timestamp": 1614265330,
        "body": BODY,
    }
    changed = {**facts, **change}
    assert sign(changed.pop("secret"), **changed) != SIGNATURE  # type: ignore[arg-type]


def test_every_secret_has_its_signature() -> None:
    other = new_secret()
    headers = dict(headers_of([SECRET, other], message_id="msg", timestamp=7, body=b"{}"))
    assert headers["Webhook-Id"] == "msg"
    assert headers["Webhook-Timestamp"] == "7"
    first, second = headers["Webhook-Signature"].split(" ")
    assert first == sign(SECRET, message_id="msg", timestamp=7, body=b"{}")
    assert second == sign(other, message_id="msg", timestamp=7, body=b"{}")


def test_secret_is_random_and_unsealed_unchanged() -> None:
    secret = new_secret()
    assert secret != new_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret not in seal(secret)
    assert unseal(seal(secret)) == secret


def test_changed_secret_key_unseals_with_its_fallback_only(settings: LazySettings) -> None:
    settings.SECRET_KEY = "the one before"
    sealed = seal(SECRET)
    settings.SECRET_KEY = "another"
    with pytest.raises(SecretUnreadableError):
        unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = ["the one before"]
    assert unseal(sealed) == SECRET
