"""Refusals of credentials: keys and invitations."""

from __future__ import annotations

from tenants.exceptions import DomainError


class KeyExpiredError(DomainError):
    code = "key_expired"
    category = "unauthenticated"
    title = "The API key has expired; ask an owner of the tenant for a new one."


class KeyAddressError(DomainError):
    code = "key_address"
    category = "forbidden"
    title = "The API key is not accepted from this address."


class KeyEndedError(DomainError):
    code = "key_ended"
    category = "conflict"
    title = "The API key is revoked or expired; issue a new one."
