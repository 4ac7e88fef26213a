"""Texts of errors: sealed like other values, except that neither a write nor a read of them fails without the key.

A failure must be settled, and a list be shown, also while a key is missing. Without the key a fixed text is stored in
place of the message, and a fixed text is read in place of a sealed one. An error text is bound to its tenant and to its
owner: the job that failed, or the row itself if the error is of no job. So a statement may copy the text of a job to
the other rows about that job; it opens nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, override
from uuid import UUID

from django.db import models

from tenants.encryption.data_keys import opening_key, preload_keys, sealing_key
from tenants.encryption.envelope import (
    MARK,
    SealBrokenError,
    SealContext,
    key_id_of,
    quote_text,
    seal,
    unquote_text,
    unseal,
)
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedTextField, SealedValue, is_sealing, sealed_as

logger = logging.getLogger(__name__)

NOT_SEALED: Final = "The error text could not be encrypted: data key unavailable."
NOT_READABLE: Final = "The error text cannot be decrypted: data key unavailable."
BROKEN: Final = "The error text was altered, or was copied from another job."
_MESSAGE: Final = "message"


def seal_error(text: str, *, tenant_id: UUID, owner_id: UUID, part: str = _MESSAGE) -> str:
    """Return an error text as it is stored: encrypted if encryption is on, `NOT_SEALED` if the key is missing."""
    if not text or not is_sealing():
        return quote_text(text) or ""
    try:
        return f"{MARK}:{seal(text, sealing_key(tenant_id), _place(tenant_id, owner_id, part))[MARK]}"
    except DataKeyUnavailableError:
        logger.exception("error_text.not_sealed", extra={"tenant_id": str(tenant_id), "owner": str(owner_id)})
        return NOT_SEALED


def open_error(stored: str | None, *, tenant_id: UUID, owner_id: UUID, part: str = _MESSAGE) -> str:
    """Return the text of a stored error, or a fixed text that says why it cannot be decrypted."""
    sealed, plain = unquote_text(stored)
    if sealed is None:
        return plain or ""
    try:
        return str(unseal(sealed, opening_key(tenant_id, key_id_of(sealed)), _place(tenant_id, owner_id, part)))
    except (DataKeyUnavailableError, SealBrokenError) as error:
        logger.warning("error_text.unreadable", extra={"owner": str(owner_id), "cause": str(error)})
        return BROKEN if isinstance(error, SealBrokenError) else NOT_READABLE


def is_sealed_text(stored: str | None) -> bool:
    """Return whether a text is stored encrypted."""
    return unquote_text(stored)[0] is not None


def is_readable(text: str) -> bool:
    """Return whether a text that was read is the error's own, of which a fingerprint can be computed."""
    return text not in (NOT_READABLE, BROKEN, NOT_SEALED)


def preload_error_keys(rows: Iterable[tuple[UUID, str | None]]) -> None:
    """Load the keys of the tenants of sealed texts with one statement; ``rows`` are (tenant, stored text)."""
    preload_keys({tenant_id for tenant_id, stored in rows if is_sealed_text(stored)})


def _place(tenant_id: UUID, owner_id: UUID, part: str) -> SealContext:
    return SealContext(tenant_id, "error", owner_id, part)


class SealedErrorField(SealedTextField):
    """A text column with the text of an error, at most ``max_length`` characters long before it is sealed.

    ``owner`` is the attribute with the id of the job; without it, or while it is None, the row is the owner. The owner
    must not change without the text. Rows without a tenant are stored in plain.
    """

    def __init__(self, *arguments: Any, owner: str = "", part: str = _MESSAGE, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.owner, self.part = owner, part

    @override
    def id_of(self, row: Any) -> UUID:
        found: UUID | None = getattr(row, self.owner) if self.owner else None
        return sealed_as(row) if found is None else found

    @override
    def stored(self, value: Any, *, tenant_id: UUID | None, row_id: UUID) -> Any:
        """Return the text to write into a row, cut to the longest allowed; `NOT_SEALED` if the key is missing."""
        text = value[: self.max_length] if value else ""
        if tenant_id is None:
            return quote_text(text)
        return seal_error(text, tenant_id=tenant_id, owner_id=row_id, part=self.part)

    @override
    def read_for(self, row: Any, value: SealedValue) -> str:
        """Return the text of a row's error. The row keeps the sealed text, so that saving the row does not lose it."""
        return self.open(value, tenant_id=row.tenant_id, row_id=self.id_of(row))

    @override
    def open(self, value: Any, *, tenant_id: UUID, row_id: UUID) -> str:
        """Return the text as `values_list` has read it, or a fixed text that says why it cannot be decrypted."""
        if type(value) is not SealedValue:
            return str(value or "")
        return open_error(f"{MARK}:{value.text}", tenant_id=tenant_id, owner_id=row_id, part=self.part)

    @override
    def _place(self, tenant_id: UUID, row_id: UUID) -> SealContext:
        return _place(tenant_id, row_id, self.part)


class _OpenedError(models.JSONField):
    """The output of `stored_error`: the readable text."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str:
        """Return the text of the (stored text, tenant, owner) that the expression has read."""
        read = super().from_db_value(value, expression, connection)
        stored, tenant_id, owner_id = read or (None, None, None)
        return open_error(stored, tenant_id=UUID(tenant_id), owner_id=UUID(owner_id)) if stored else ""


def stored_error(message: Any, *, tenant: Any, owner: Any) -> models.Func:
    """Return an expression for queries without rows: it reads the message of an error, and opens it for its owner."""
    return models.Func(message, tenant, owner, function="jsonb_build_array", output_field=opened_error())


def opened_error() -> models.JSONField[Any, Any]:
    """Return the output field of an expression that chooses between several of `stored_error`."""
    return _OpenedError()
