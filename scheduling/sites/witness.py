"""Witness: one small document outside both sites, which is replaced only if it has not changed since it was read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from django.utils.translation import gettext_noop

from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.http import Limits, send
from scheduling.sites.exceptions import WitnessConflictError, WitnessError
from scheduling.sites.rules import Claim

# Far below HOLD_SECONDS: a slow witness gets several attempts.
_SECONDS: Final = 3.0
_MAX_BYTES: Final = 4096
_REFUSED: Final = frozenset({409, 412})


class Reading(NamedTuple):
    """The claim at the witness and the tag of its document; None and an empty tag if there is none."""

    claim: Claim | None = None
    tag: str = ""


class Witness(Protocol):
    """Place of the claim."""

    def load(self) -> tuple[bytes, str]:
        """Return the document and its tag, both empty if there is none."""

    def replace(self, document: bytes, tag: str) -> None:
        """Write the document if it still has the tag; raise WitnessConflictError if it has not."""


class FileWitness:
    """Witness in a file, for processes of one machine and for tests."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[bytes, str]:
        """Return the document and its hash."""
        if not self._path.exists():
            return b"", ""
        document = self._path.read_bytes()[:_MAX_BYTES]
        return document, hashlib.sha256(document).hexdigest()

    def replace(self, document: bytes, tag: str) -> None:
        """Replace the file under a lock."""
        with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.load()[1] != tag:
                raise WitnessConflictError
            new = self._path.with_name(f"{self._path.name}.new")
            with new.open("wb") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)


class UrlWitness:
    """Witness at a URL that answers GET with an ETag and PUT with If-Match or If-None-Match."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._limits = Limits(_SECONDS, _SECONDS, 2 * _SECONDS, _MAX_BYTES)

    def load(self) -> tuple[bytes, str]:
        """Return the answer's body and ETag; raise WitnessError for an answer without one."""
        answer = send("GET", self._url, limits=self._limits, is_url_by_operator=True)
        if answer.status == 404:
            return b"", ""
        tag = answer.header("etag")
        if answer.status != 200 or not tag:
            raise _unusable(f"GET {answer.status}, ETag {tag!r}")
        return answer.body, tag

    def replace(self, document: bytes, tag: str) -> None:
        """Put the document."""
        condition = ("If-Match", tag) if tag else ("If-None-Match", "*")
        headers = [("Content-Type", "application/json"), condition]
        answer = send("PUT", self._url, headers=headers, body=document, limits=self._limits, is_url_by_operator=True)
        if answer.status in _REFUSED:
            raise WitnessConflictError
        if answer.status not in {200, 201, 204}:
            raise _unusable(f"PUT {answer.status}")


class BucketWitness:
    """Witness in an object of S3-compatible storage with conditional writes."""

    def __init__(self, bucket: str, key: str) -> None:
        import boto3
        from botocore.config import Config

        self._object = {"Bucket": bucket, "Key": key}
        limits = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1})
        self._client = boto3.client("s3", config=limits)

    def load(self) -> tuple[bytes, str]:
        """Return the object's content and ETag."""
        from botocore.exceptions import ClientError

        try:
            found = self._client.get_object(**self._object)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return b"", ""
            raise
        return found["Body"].read(_MAX_BYTES), found["ETag"]

    def replace(self, document: bytes, tag: str) -> None:
        """Put the object."""
        from botocore.exceptions import ClientError

        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            self._client.put_object(**self._object, Body=document, ContentType="application/json", **condition)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in _REFUSED:
                raise WitnessConflictError from error
            raise


@cache
def open_witness(address: str) -> Witness:
    """Return the witness at ``file://PATH``, ``s3://BUCKET/KEY``, ``http://…`` or ``https://…``.

    Raise WitnessError for any other address, or without boto3.
    """
    scheme, _, place = address.partition("://")
    if scheme == "file" and place.startswith("/"):
        return FileWitness(Path(place))
    if scheme in {"http", "https"}:
        return UrlWitness(address)
    bucket, _, key = place.partition("/")
    if scheme == "s3" and bucket and key:
        try:
            return BucketWitness(bucket, key)
        except ImportError as error:
            raise _unusable("a witness in S3 needs boto3: pip install django-storages[s3]") from error
    raise _unusable("SITE_WITNESS must be file:///PATH, s3://BUCKET/KEY or a URL")


def read_claim(witness: Witness) -> Reading:
    """Return the claim at the witness; raise WitnessError if it cannot be read."""
    try:
        document, tag = witness.load()
    except _failures() as error:
        raise _unusable(error) from error
    if not tag:
        return Reading()
    try:
        facts = json.loads(document)
        return Reading(Claim(str(facts["site"]), int(facts["epoch"])), tag)
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable("the document is no claim") from error


def write_claim(witness: Witness, claim: Claim, tag: str) -> None:
    """Write a claim over the document with this tag.

    Raise WitnessConflictError if the document has changed, WitnessError if it cannot be written.
    """
    facts: dict[str, Any] = {"site": claim.site, "epoch": claim.epoch, "renewed_at": datetime.now(UTC).isoformat()}
    try:
        witness.replace(json.dumps(facts).encode(), tag)
    except _failures() as error:
        raise _unusable(error) from error


def _unusable(reason: object) -> WitnessError:
    words = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)
    return WitnessError(gettext_noop("The witness cannot be used: %(reason)s"), {"reason": words[:400]})


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors of a witness that does not answer."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return OSError, PermanentError, TransientError
    return OSError, PermanentError, TransientError, BotoCoreError, ClientError
