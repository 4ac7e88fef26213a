"""Errors of calls that were refused or not answered; permanent or transient, as job kinds distinguish them."""

from __future__ import annotations

from scheduling.kit.base import PermanentError, TransientError


class UrlRefusedError(PermanentError):
    """The error for a URL whose notation is refused: another scheme, a password, a disguised address."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="url_refused")


class AddressRefusedError(PermanentError):
    """The error for a host inside the network, or a port that may not be called."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="address_refused")


class HostRefusedError(PermanentError):
    """The error for a host that a control does not let the job call."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="host_refused")


class RedirectRefusedError(PermanentError):
    """The error for a redirect that is not followed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="redirect_refused")


class RequestRefusedError(PermanentError):
    """The error for a header or method that a caller may not set. The message never contains the value."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="request_refused")


class SecretRefusedError(PermanentError):
    """The error for a stored secret that is missing, or may not be sent to the request's target."""


class NoAnswerError(TransientError):
    """The error for a failure of the network, the name service or the other side before a complete answer."""

    def __init__(self, message: str, *, code: str = "no_answer") -> None:
        super().__init__(message, code=code)
