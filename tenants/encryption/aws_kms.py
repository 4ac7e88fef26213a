"""Master key in AWS KMS, which wraps data keys by Encrypt and Decrypt; credentials and endpoint are those of boto3."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Final

from tenants.encryption.envelope import MasterKeysInvalidError, SealBrokenError
from tenants.encryption.exceptions import KeyProviderUnavailableError, KeyRefusedError
from tenants.translation import gettext_noop

_SECONDS: Final = 2.0
_BROKEN: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_REFUSALS: Final = frozenset(
    {
        "AccessDeniedException",
        "DisabledException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)


class KmsKey:
    """Key of AWS KMS by its ARN, id or alias. A call has one attempt, of at most two seconds for each step."""

    def __init__(self, reference: str) -> None:
        if not reference:
            raise MasterKeysInvalidError("aws_kms: needs the ARN, id or alias of a key.")
        parts = reference.split(":")
        self._key = reference
        self._region = parts[3] if reference.startswith("arn:") and len(parts) > 5 else None
        _require_boto3()

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return a data key encrypted by the service."""
        answer = self._call("encrypt", associated, Plaintext=secret)
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Return a data key decrypted by the service."""
        return bytes(self._call("decrypt", associated, CiphertextBlob=wrapped)["Plaintext"])

    def _call(self, operation: str, associated: bytes, **values: bytes) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        # The context is logged by AWS in plain: it has ids only.
        context = {"data_key": associated.decode()}
        try:
            # A client of its own for each process, because connections do not survive a fork.
            client = _client(self._region, os.getpid())
            return getattr(client, operation)(KeyId=self._key, EncryptionContext=context, **values)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _BROKEN:
                raise SealBrokenError("AWS KMS cannot decrypt the key.") from error
            kind = KeyRefusedError if code in _REFUSALS else KeyProviderUnavailableError
            raise kind(gettext_noop("AWS KMS answered %(code)s."), {"code": code}) from error
        except BotoCoreError as error:
            reason = type(error).__name__
            raise KeyProviderUnavailableError("AWS KMS did not answer: %(reason)s.", {"reason": reason}) from error


@lru_cache(maxsize=8)
def _client(region: str | None, process: int) -> Any:
    import boto3
    from botocore.config import Config

    limits = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1})
    return boto3.session.Session().client("kms", region_name=region, config=limits)


def _require_boto3() -> None:
    try:
        import boto3  # noqa: F401
    except ImportError as error:
        raise MasterKeysInvalidError("aws_kms: needs boto3: pip install django-storages[s3].") from error
