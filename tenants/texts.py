"""Sentences in the reader's language, for modules that know no framework: written in plain English where they arise.

Until the apps are ready, and in processes that serve nobody, a sentence is said as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _as_written(text: str) -> str:
    return text


_translate: Callable[[str], str] = _as_written


def speak_with(translate: Callable[[str], str]) -> None:
    """Let `translate` find the reader's words from now on."""
    global _translate  # noqa: PLW0603 - set once, when the apps are ready
    _translate = translate


def said(text: str, values: Mapping[str, Any] | None = None) -> str:
    """The sentence in the reader's language, with its values in the places that it names: `%(name)s`."""
    return filled(_translate(text) if text else "", values)


def filled(text: str, values: Mapping[str, Any] | None) -> str:
    """The sentence as it is written, with its values; where the last one is empty, without the blank before it."""
    return (text % values).rstrip() if values else text
