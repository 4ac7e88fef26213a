"""Argument types of management commands. The error for an invalid value shows a valid example."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime


def moment(text: str) -> datetime:
    """Return the text as an aware datetime; it must be an ISO 8601 time with an offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a time; write it like 2026-01-31T09:30:00Z.") from error
    if value.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} needs an offset, such as a Z at its end.")
    return value


def positive(text: str) -> int:
    """Return the text as an integer above zero."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is not a positive number.")
    return int(text)
