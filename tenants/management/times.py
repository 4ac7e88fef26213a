"""Times as commands take them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime


def moment(text: str) -> datetime:
    """An ISO 8601 time with its offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no time; write it like 2026-01-31T09:30:00Z.") from error
    if value.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} needs an offset, such as a Z at its end.")
    return value
