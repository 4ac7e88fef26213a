"""Errors of stored secrets. No message contains a secret's value."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class SecretNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such secret.")


class SecretUnknownError(DomainError):
    code, category, title = "secret_unknown", "conflict", gettext_noop("There is no secret with this name.")


class SecretHostRefusedError(DomainError):
    code, category, title = "secret_host_refused", "conflict", gettext_noop("The secret is not bound to this host.")


class SecretInvalidError(DomainError):
    code, category = "secret_invalid", "invalid"
    title = gettext_noop("The name, value or hosts of the secret are not valid.")


class SecretNameTakenError(DomainError):
    code, category, title = "secret_name_taken", "conflict", gettext_noop("A secret with this name already exists.")


class SecretLimitError(DomainError):
    code, category, title = "secret_limit", "conflict", gettext_noop("The tenant has reached its limit of secrets.")


class SecretUseDeniedError(DomainError):
    code, category = "secret_use_denied", "forbidden"
    title = gettext_noop("Saving a reference to a secret requires the permission secrets.use.")
