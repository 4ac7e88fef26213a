"""What can be wrong with a file for good. Each code is the reason that its reader is told, and is stable."""

from __future__ import annotations

from scheduling.processors.base import PermanentError

ENCRYPTED = "file_encrypted"
DAMAGED = "file_damaged"
TOO_COMPLEX = "file_too_complex"
WITHOUT_TEXT = "file_without_text"


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


_BY_CODE = {
    ENCRYPTED: FileEncryptedError,
    DAMAGED: FileDamagedError,
    TOO_COMPLEX: FileTooComplexError,
    WITHOUT_TEXT: FileWithoutTextError,
}


def error_of(code: str, message: str) -> PermanentError:
    """The error that a parsing process reported by its code; raises KeyError for a code that none has."""
    return _BY_CODE[code](message)
