"""Errors of files that cannot be read. Their codes are shown to users and stay stable."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.kit.base import Json, PermanentError, Snoozed, TransientError

ENCRYPTED = "file_encrypted"
DAMAGED = "file_damaged"
TOO_COMPLEX = "file_too_complex"
WITHOUT_TEXT = "file_without_text"
SANDBOX_UNAVAILABLE = "sandbox_unavailable"
MAX_MESSAGE = 900
# Delay before a job that found no sandbox is retried on a worker.
SANDBOX_WAIT_SECONDS = 30.0


class FileEncryptedError(PermanentError):
    """Raised for a file that cannot be read without a password."""

    def __init__(self, message: str = "The file is encrypted; upload it without a password.") -> None:
        super().__init__(message, code=ENCRYPTED)


class FileDamagedError(PermanentError):
    """Raised for a file that is truncated, or whose content does not match its first bytes."""

    def __init__(self, message: str = "The file is damaged or incomplete.") -> None:
        super().__init__(message, code=DAMAGED)


class FileTooComplexError(PermanentError):
    """Raised for a file that needs more memory, time or nesting than a document may use."""

    def __init__(self, message: str = "The file exceeds the limits of a document.") -> None:
        super().__init__(message, code=TOO_COMPLEX)


class FileWithoutTextError(PermanentError):
    """Raised for a file that can be opened but contains no text."""

    def __init__(
        self, message: str = "The file has no text. A scan needs text recognition before it can be indexed."
    ) -> None:
        super().__init__(message, code=WITHOUT_TEXT)

    @classmethod
    def of(cls, warnings: Sequence[str]) -> FileWithoutTextError:
        """Return the error of a file with these warnings, which may say why it has no text."""
        return cls(" ".join(["The file has no text.", *warnings])[:MAX_MESSAGE]) if warnings else cls()


class SandboxUnavailableError(TransientError):
    """Raised if the worker's kernel cannot isolate a parser. Jobs wait for another worker, without using an attempt."""

    def __init__(self, unprotected: Sequence[str]) -> None:
        super().__init__(
            f"The worker's host cannot protect {' and '.join(unprotected)} from a parser; the file was not read.",
            code=SANDBOX_UNAVAILABLE,
        )

    def wait_from(self, state: Json) -> Snoozed:
        """Return the outcome of a job that keeps ``state`` and waits for a worker that has the sandbox."""
        return Snoozed(state, SANDBOX_WAIT_SECONDS, SANDBOX_UNAVAILABLE)


_BY_CODE = {
    ENCRYPTED: FileEncryptedError,
    DAMAGED: FileDamagedError,
    TOO_COMPLEX: FileTooComplexError,
    WITHOUT_TEXT: FileWithoutTextError,
}


def error_of(code: str, message: str) -> PermanentError:
    """Return the error for a code and message that a parsing process reported; raise KeyError for an unknown code."""
    return _BY_CODE[code](message)
