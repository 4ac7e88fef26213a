"""What can be wrong with a file for good. Each code is the reason that its reader is told, and is stable."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.kit.base import Json, PermanentError, Snoozed, TransientError

ENCRYPTED = "file_encrypted"
DAMAGED = "file_damaged"
TOO_COMPLEX = "file_too_complex"
WITHOUT_TEXT = "file_without_text"
SANDBOX_UNAVAILABLE = "sandbox_unavailable"
# Until a job that found no sandbox is given to a worker again.
SANDBOX_WAIT_SECONDS = 30.0


class FileEncryptedError(PermanentError):
    """The file cannot be read without a password."""

    def __init__(self, message: str = "The file is encrypted; upload it without a password.") -> None:
        super().__init__(message, code=ENCRYPTED)


class FileDamagedError(PermanentError):
    """The file is cut short, or is not what its first bytes say."""

    def __init__(self, message: str = "The file is damaged or incomplete.") -> None:
        super().__init__(message, code=DAMAGED)


class FileTooComplexError(PermanentError):
    """Reading the file takes more memory, time or depth than a document may."""

    def __init__(self, message: str = "Reading the file takes more than a document may.") -> None:
        super().__init__(message, code=TOO_COMPLEX)


class FileWithoutTextError(PermanentError):
    """The file opens, and there is no text in it."""

    def __init__(
        self, message: str = "There is no text in the file. A scan needs text recognition before it can be indexed."
    ) -> None:
        super().__init__(message, code=WITHOUT_TEXT)


class SandboxUnavailableError(TransientError):
    """The worker's kernel cannot protect files and network from a parser; jobs wait and burn no attempt."""

    def __init__(self, unprotected: Sequence[str]) -> None:
        super().__init__(
            f"The worker's host cannot protect {' and '.join(unprotected)} from a parser; nothing was read.",
            code=SANDBOX_UNAVAILABLE,
        )

    def wait_from(self, state: Json) -> Snoozed:
        """Return the outcome of a job that waits, from ``state``, for a worker that has the sandbox."""
        return Snoozed(state, SANDBOX_WAIT_SECONDS, SANDBOX_UNAVAILABLE)


_BY_CODE = {
    ENCRYPTED: FileEncryptedError,
    DAMAGED: FileDamagedError,
    TOO_COMPLEX: FileTooComplexError,
    WITHOUT_TEXT: FileWithoutTextError,
}


def error_of(code: str, message: str) -> PermanentError:
    """The error that a parsing process reported by its code; raises KeyError for a code that none has."""
    return _BY_CODE[code](message)
