"""Headers with stored secrets: opened for the host of a URL, written into a request to that host alone.

A header's text with references becomes a `SecretText`. It is resolved by `calling` and `streaming` for the target
that is about to be called, and a redirect to another origin drops it. What comes back is masked: a value that the
other side repeats literally is not handed on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from scheduling.kit.base import TransientError
from scheduling.kit.http.errors import SecretRefusedError
from scheduling.kit.http.policy import Policy
from scheduling.kit.http.targets import Target, read_target
from tenants.encryption.data_keys import DataKeyUnavailableError
from tenants.exceptions import DomainError
from tenants.secrets.queries import OpenSecret, open_secrets
from tenants.secrets.references import SecretReference, split_references
from tenants.translation import translate

MASK: Final = "[secret]"
# The end of an answer that was cut off may be the beginning of a value; shorter ones tell nothing.
_SHORTEST_BEGINNING: Final = 4

type Pieces = Sequence[str | SecretReference]


@dataclass(frozen=True, slots=True)
class SecretText:
    """The value of a header with opened secrets in it; `repr` shows their names alone."""

    pieces: tuple[str | OpenSecret, ...]

    @property
    def sample(self) -> str:
        """The text with a letter in the place of each secret, to be checked as any other header."""
        return "".join(piece if isinstance(piece, str) else "x" for piece in self.pieces)

    @property
    def values(self) -> list[str]:
        """The values that no answer may repeat."""
        return [piece.value for piece in self.pieces if isinstance(piece, OpenSecret)]

    def resolve(self, target: Target, policy: Policy) -> str:
        """Return the header for a request to the target; raise `SecretRefusedError` for one that may not have it."""
        if target.scheme != "https" and not policy.is_allowed(target.host, target.port):
            raise SecretRefusedError(
                translate("A secret is sent over https alone, not to %(url)s.", {"url": f"http://{target.authority}"}),
                code="secret_needs_https",
            )
        try:
            return "".join(piece if isinstance(piece, str) else piece.value_for(target.host) for piece in self.pieces)
        except DomainError as error:
            raise SecretRefusedError(str(error), code=error.code) from error


type HeaderValue = str | SecretText


def open_header(tenant_id: UUID, url: str, text: str) -> HeaderValue:
    """Return a header's text with the tenant's secrets that it refers to opened for the host of the URL.

    Raise `SecretRefusedError` for a secret that is not there or is bound to other hosts, `TransientError` while the
    tenant's keys are not at hand.
    """
    return open_pieces(tenant_id, url, split_references(text))


def open_headers(tenant_id: UUID, url: str, headers: Iterable[tuple[str, str]]) -> list[tuple[str, HeaderValue]]:
    """Return headers as `send` takes them, with the secrets that they refer to opened as by `open_header`."""
    return [(name, open_header(tenant_id, url, text)) for name, text in headers]


def open_pieces(tenant_id: UUID, url: str, pieces: Pieces) -> HeaderValue:
    """Return a header from its pieces; a literal piece is never read as a reference, whatever it says."""
    names = [piece.name for piece in pieces if isinstance(piece, SecretReference)]
    if not names:
        return "".join(str(piece) for piece in pieces)
    try:
        opened = open_secrets(tenant_id, names, read_target(url).host)
    except DataKeyUnavailableError as error:
        raise TransientError(str(error), code=error.code) from error
    except DomainError as error:
        raise SecretRefusedError(str(error), code=error.code) from error
    return SecretText(tuple(piece if isinstance(piece, str) else opened[piece.name] for piece in pieces))


@dataclass(frozen=True, slots=True)
class Mask:
    """What is taken out of an answer: the values of the secrets that its request was sent with."""

    values: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, headers: Iterable[tuple[str, HeaderValue]]) -> Mask:
        """Return the mask for a request with these headers; longer values are masked first."""
        found = {value for _, text in headers if isinstance(text, SecretText) for value in text.values}
        # As they stand in JSON too.
        found |= {json.dumps(value)[1:-1] for value in found}
        return cls(tuple(sorted(found, key=len, reverse=True)))

    def text(self, text: str) -> str:
        """Return the text with a mark in the place of each value."""
        for value in self.values:
            text = text.replace(value, MASK)
        return text

    def body(self, data: bytes, *, is_cut: bool) -> bytes:
        """Return the bytes likewise; of an answer that was cut off also without the beginning of a value at its end."""
        for value in self.values:
            data = data.replace(value.encode(), MASK.encode())
            if is_cut:
                lengths = range(len(value) - 1, _SHORTEST_BEGINNING - 1, -1)
                rest = next((size for size in lengths if data.endswith(value[:size].encode())), 0)
                data = data[: len(data) - rest]
        return data
