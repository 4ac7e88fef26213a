"""Translation for modules that import no framework, and texts that are stored together with their values.

This is the only module of the framework-free core that uses Django, and only while it translates. The other modules
call Django's `gettext`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class LocalizableText:
    """An English text with placeholders, and their values.

    A value may itself be a `LocalizableText`, or a list of them. `str()` gives the English text, for logs and stored
    text; `localized` gives it in the active language.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return interpolate(self.text, _rendered_values(self.values, str))

    @property
    def localized(self) -> str:
        """Return the text with its values, in the active language."""
        return translate(self.text, _rendered_values(self.values, lambda text: text.localized))

    def to_json(self) -> dict[str, Any]:
        """Return the text and its values as JSON types, for `from_json`."""
        return {"text": self.text, "values": {name: _to_json(value) for name, value in self.values.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the text that `to_json` has converted."""
        return cls(stored["text"], {name: _from_json(value) for name, value in stored["values"].items()})


def gettext_noop(text: str) -> str:
    """Return the text unchanged, and mark it for extraction by the translation tools.

    Unlike Django's it needs no settings.
    """
    return text


def translate(text: str, values: Mapping[str, Any] | None = None) -> str:
    """Return the text in the active language, with the values in place of `%(name)s`."""
    # Processes that extract texts from files import this module without Django.
    from django.utils.translation import gettext

    return interpolate(
        gettext(text) if text else "", {name: _localized(value) for name, value in (values or {}).items()}
    )


def interpolate(text: str, values: Mapping[str, Any] | None = None) -> str:
    """Return the English text with the values in place of `%(name)s`, without trailing blanks."""
    return (text % values).rstrip() if values else text


def _localized(value: Any) -> Any:
    return value.localized if isinstance(value, LocalizableText) else value


def _rendered_values(values: Mapping[str, Any], render: Callable[[LocalizableText], str]) -> dict[str, Any]:
    return {name: _rendered(value, render) for name, value in values.items()}


def _rendered(value: Any, render: Callable[[LocalizableText], str]) -> Any:
    if isinstance(value, LocalizableText):
        return render(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(_rendered(part, render)) for part in value)
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, LocalizableText):
        return value.to_json()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(part) for part in value]
    return value if isinstance(value, int | float | None) else str(value)


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return LocalizableText.from_json(value)
    return [_from_json(part) for part in value] if isinstance(value, list) else value
