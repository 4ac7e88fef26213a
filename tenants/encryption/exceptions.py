"""Errors of keys that are not available."""

from __future__ import annotations

from tenants.exceptions import DomainError
from tenants.translation import gettext_noop


class DataKeyUnavailableError(DomainError):
    """Raised if a data key is missing or cannot be unwrapped here."""

    code, category = "data_key_unavailable", "unavailable"
    title = gettext_noop("The value is encrypted with a key that is not available.")


class KeyProviderUnavailableError(DataKeyUnavailableError):
    """Raised if the service that has the master key does not answer, or refuses to use the key."""

    code, category = "key_provider_unavailable", "unavailable"
    title = gettext_noop("The key service does not answer, so the value can be neither encrypted nor decrypted.")
    # Whether the service has answered that the key may not be used; a repetition does not help.
    is_refused = False


class KeyRefusedError(KeyProviderUnavailableError):
    """Raised if the service that has the master key refuses to use it, for example because it is disabled."""

    title = gettext_noop("The key service refuses to use the master key.")
    is_refused = True
