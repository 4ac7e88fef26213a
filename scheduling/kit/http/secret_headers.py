"""Request headers that contain a tenant's secrets: decrypted for the host of a URL and sent only to that host.

A header text with references becomes a `SecretText`. `calling` and `streaming` resolve it for the target of each call;
a redirect to another origin drops it. Answers are masked: a value that the other side repeats literally is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from scheduling.kit.base import TransientError
from scheduling.kit.http.errors import SecretRefusedError
from scheduling.kit.http.policy import OutgoingPolicy
from scheduling.kit.http.targets import UrlTarget, read_target
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.exceptions import DomainError
from tenants.secrets.queries import OpenSecret, open_secrets
from tenants.secrets.references import SecretReference, split_references
from tenants.translation import translate

MASK: Final = "[secret]"
# The end of a cut answer may be the beginning of a value; shorter ones reveal nothing.
_SHORTEST_BEGINNING: Final = 4

type Pieces = Sequence[str | SecretReference]


@dataclass(frozen=True, slots=True)
class SecretText:
    """A header value that contains decrypted secrets; its `repr` shows only their names."""

    pieces: tuple[str | OpenSecret, ...]

    @property
    def sample(self) -> str:
        """Return the text with a letter in place of each secret, so that it can be checked like any other header."""
        return "".join(piece if isinstance(piece, str) else "x" for piece in self.pieces)

    @property
    def values(self) -> list[str]:
        """Return the values of the secrets, which no answer may repeat."""
        return [piece.value for piece in self.pieces if isinstance(piece, OpenSecret)]

    def resolve(self, target: UrlTarget, policy: OutgoingPolicy) -> str:
        """Return the header's text, with its secrets in clear, for a request to the target.

        Raise `SecretRefusedError` if the target may not receive it.
        """
        if target.scheme != "https" and not policy.is_allowed(target.host, target.port):
            raise SecretRefusedError(
                translate("Secrets are only sent over https, not to %(url)s.", {"url": f"http://{target.authority}"}),
                code="secret_needs_https",
            )
        try:
            return "".join(piece if isinstance(piece, str) else piece.value_for(target.host) for piece in self.pieces)
        except DomainError as error:
            raise SecretRefusedError(str(error), code=error.code) from error


type HeaderValue = str | SecretText


def open_header(tenant_id: UUID, url: str, text: str) -> HeaderValue:
    """Return a header's text with its references to the tenant's secrets decrypted for the host of the URL.

    Raise `SecretRefusedError` for a secret that is missing or bound to other hosts, and `TransientError` while the
    tenant's keys are unavailable.
    """
    return open_pieces(tenant_id, url, split_references(text))


def open_headers(tenant_id: UUID, url: str, headers: Iterable[tuple[str, str]]) -> list[tuple[str, HeaderValue]]:
    """Return headers for `send`, each decrypted as `open_header` does."""
    return [(name, open_header(tenant_id, url, text)) for name, text in headers]


def open_pieces(tenant_id: UUID, url: str, pieces: Pieces) -> HeaderValue:
    """Build a header from its pieces, decrypting those that refer to a secret; a literal piece is never parsed.

    Raise the errors of `open_header`.
    """
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
    """The values of the secrets in a request, which are removed from its answer."""

    values: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, headers: Iterable[tuple[str, HeaderValue]]) -> Mask:
        """Return the mask for a request with these headers; longer values are masked first."""
        found = {value for _, text in headers if isinstance(text, SecretText) for value in text.values}
        # Also as they are written in JSON.
        found |= {json.dumps(value)[1:-1] for value in found}
        return cls(tuple(sorted(found, key=len, reverse=True)))

    def text(self, text: str) -> str:
        """Return the text with each secret value replaced by `MASK`."""
        for value in self.values:
            text = text.replace(value, MASK)
        return text

    def split(self, text: str) -> tuple[str, str]:
        """Return the masked text and its rest, which may be the beginning of a secret value that goes on later."""
        shown = self.text(text)
        ends = (size for value in self.values for size in range(1, len(value)) if shown.endswith(value[:size]))
        cut = len(shown) - max(ends, default=0)
        return shown[:cut], shown[cut:]

    def body(self, data: bytes, *, is_cut: bool) -> bytes:
        """Return the bytes with each secret value replaced by `MASK`.

        A cut answer may end with the first part of a value; this part is removed too.
        """
        for value in self.values:
            data = data.replace(value.encode(), MASK.encode())
            if is_cut:
                lengths = range(len(value) - 1, _SHORTEST_BEGINNING - 1, -1)
                rest = next((size for size in lengths if data.endswith(value[:size].encode())), 0)
                data = data[: len(data) - rest]
        return data
