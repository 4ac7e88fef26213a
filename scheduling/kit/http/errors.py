"""Why a call was not made, or brought no answer: for ever or for now, as job kinds tell them apart."""

from __future__ import annotations

from scheduling.kit.base import PermanentError, TransientError


class UrlRefusedError(PermanentError):
    """A URL that is written so that nobody calls it: another scheme, a password, an address in disguise."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="url_refused")


class AddressRefusedError(PermanentError):
    """The host is inside, or its port is none that is called."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="address_refused")


class RedirectRefusedError(PermanentError):
    """The answer sends the caller on in a way that is not followed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="redirect_refused")


class RequestRefusedError(PermanentError):
    """A header or method that a caller may not set. The message never holds the value."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="request_refused")


class SecretRefusedError(PermanentError):
    """A stored secret that is not there, or may not be sent to where the request goes."""


class NoAnswerError(TransientError):
    """The network, the name service or the other side failed before there was a whole answer."""

    def __init__(self, message: str, *, code: str = "no_answer") -> None:
        super().__init__(message, code=code)
