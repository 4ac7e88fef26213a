"""A passkey in software: the answers that a browser gives to the options of the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

ORIGIN = "http://localhost"
_PRESENT = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class Passkey:
    """A key for the host localhost."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._id = b"a key of the tests"

    def register(self, options: Mapping[str, Any]) -> str:
        """Return the credential for the options of the page that adds a key, as its form field contains it."""
        wanted = options["publicKey"]
        public = ES256.from_cryptography_key(self._key.public_key())
        credential = AttestedCredentialData.create(Aaguid.NONE, self._id, public)
        flags = _PRESENT | AuthenticatorData.FLAG.AT
        data = AuthenticatorData.create(_hash(wanted["rp"]["id"]), flags, 0, credential)
        attestation = AttestationObject.create("none", data, {})
        client_data = CollectedClientData.create("webauthn.create", wanted["challenge"], ORIGIN)
        return self._answer(clientDataJSON=client_data, attestationObject=attestation)

    def sign(self, options: Mapping[str, Any]) -> str:
        """Return the credential for the options of a page that asks for a key."""
        wanted = options["publicKey"]
        data = AuthenticatorData.create(_hash(wanted["rpId"]), _PRESENT, 1)
        client_data = CollectedClientData.create("webauthn.get", wanted["challenge"], ORIGIN)
        signature = self._key.sign(data + client_data.hash, ec.ECDSA(SHA256()))
        return self._answer(clientDataJSON=client_data, authenticatorData=data, signature=signature)

    def _answer(self, **response: bytes) -> str:
        key = websafe_encode(self._id)
        encoded = {name: websafe_encode(value) for name, value in response.items()}
        return json.dumps({"id": key, "rawId": key, "type": "public-key", "response": encoded})


def _hash(host: str) -> bytes:
    return sha256(host.encode()).digest()
